import { useSearch } from '@tanstack/react-router';
import { useJobs } from '~/api/queries';
import type { JobView } from '~/api/types';
import { useWords } from '~/i18n';
import { grouped } from '~/lib/jobs';
import { Await } from '~/parts/Await';
import { JobCards } from '~/parts/jobs/JobCards';
import { JobDetail } from '~/parts/jobs/JobDetail';
import { JobLine } from '~/parts/jobs/JobLine';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Title } from '~/parts/Title';
import css from './Jobs.module.css';

/** What runs, what waits, what was. */
export function Jobs() {
  const { t } = useWords();
  const jobs = useJobs();
  const { job } = useSearch({ strict: false }) as { job?: string };
  return (
    <div className="page">
      <Title text={t.jobs.title} />
      <Await of={jobs} skeleton={5}>
        {(all) => {
          const { active, past } = grouped(all);
          return (
            <>
              <Active jobs={active} />
              <Panel title={t.jobs.past} flush={past.length > 0}>
                {past.length === 0 ? (
                  <Empty title={t.jobs.pastNone}>{t.jobs.pastNoneHint}</Empty>
                ) : (
                  <JobCards jobs={past} opened={job} />
                )}
              </Panel>
            </>
          );
        }}
      </Await>
    </div>
  );
}

function Active({ jobs }: { jobs: JobView[] }) {
  const { t } = useWords();
  return (
    <Panel title={t.jobs.active} aside={jobs.length > 0 && t.overview.live}>
      {jobs.length === 0 ? (
        <p className="dim small">{t.jobs.activeNone}</p>
      ) : (
        <ul className={css.active}>
          {jobs.map((job) => (
            <li key={job.id}>
              <JobLine job={job} />
              <Behind job={job} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

/** The newest line of the log, and all of it behind. */
function Behind({ job }: { job: JobView }) {
  const { f } = useWords();
  const line = job.log.at(-1);
  if (!line) return null;
  return (
    <details className={css.line}>
      <summary>
        {f.clock(line.time, true)} {line.text}
      </summary>
      <JobDetail job={job} />
    </details>
  );
}
