import { Link } from '@tanstack/react-router';
import type { JobView } from '~/api/types';
import { useWords } from '~/i18n';
import { subjectParts } from '~/lib/jobs';
import { ProblemList } from '~/parts/Problems';
import css from './JobCards.module.css';

/** All of a job: numbers, problems, log. Failed ones keep theirs. */
export function JobDetail({ job }: { job: JobView }) {
  const { t, f } = useWords();
  const { progress } = job;
  const place = subjectParts(job.subject);
  const numbers = [
    progress.bytes_done > 0 && t.jobs.bytesOf(f.bytes(progress.bytes_done), f.bytes(Math.max(progress.bytes_total, progress.bytes_done))),
    progress.bytes_new > 0 && t.jobs.fresh(f.bytes(progress.bytes_new)),
    progress.bytes_known > 0 && t.jobs.known(f.bytes(progress.bytes_known)),
    progress.bytes_uploaded > 0 && t.jobs.sent(f.bytes(progress.bytes_uploaded)),
  ].filter(Boolean);
  return (
    <div className={css.body}>
      <div className="row small dim numbers" style={{ columnGap: '1rem' }}>
        {place && (
          <Link to="/apps/$host/$app" params={{ host: place.host, app: place.app }}>
            {t.jobs.showPoint}
          </Link>
        )}
        {numbers.length > 0 && <span>{numbers.join(' · ')}</span>}
        {progress.item && (
          <span>
            {t.jobs.now}: {progress.item}
          </span>
        )}
      </div>
      {job.problems.length > 0 && <ProblemList problems={job.problems} />}
      {job.log.length === 0 ? (
        <p className="dim small">{t.jobs.logNone}</p>
      ) : (
        <pre className={css.log} tabIndex={0} role="log" aria-label={t.jobs.log}>
          {job.log.map((line, index) => (
            <div key={index}>
              <time dateTime={line.time}>{f.clock(line.time, true)}</time>
              {line.text}
            </div>
          ))}
        </pre>
      )}
    </div>
  );
}
