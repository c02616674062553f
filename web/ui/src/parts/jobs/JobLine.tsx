import type { JobView } from '~/api/types';
import { useWords } from '~/i18n';
import { fraction } from '~/lib/jobs';
import { PhaseBar } from '~/parts/Meter';
import { JOB_ICONS } from './icons';
import css from './JobLine.module.css';
import { jobFacts, jobName } from './names';
import { StopJob } from './StopJob';

/** A job at work: phases, bytes, rate, time left, stop. */
export function JobLine({ job }: { job: JobView }) {
  const words = useWords();
  const Icon = JOB_ICONS[job.kind];
  const name = jobName(job, words);
  const value = job.state === 'running' ? fraction(job.progress) : null;
  return (
    <div className={css.line}>
      <span className={css.icon}>
        <Icon size={18} aria-hidden />
      </span>
      <div>
        <div className={css.title}>
          <span>{name}</span>
          <span className="numbers">
            {value !== null ? words.f.percent(value) : job.state === 'queued' && words.t.jobs.state.queued}
          </span>
        </div>
        <PhaseBar progress={job.progress} value={value} label={words.t.jobs.progress(name)} />
        <div className={`${css.facts} numbers`}>{jobFacts(job, words)}</div>
      </div>
      <StopJob job={job} />
    </div>
  );
}
