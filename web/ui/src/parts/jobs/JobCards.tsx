import { useId, useState } from 'react';
import type { JobView } from '~/api/types';
import { useWords } from '~/i18n';
import { jobTone } from '~/lib/apps';
import { isFinal } from '~/lib/jobs';
import { useNow } from '~/lib/now';
import { useMore } from '~/parts/More';
import { Pill } from '~/parts/Pill';
import { JOB_ICONS } from './icons';
import css from './JobCards.module.css';
import { JobDetail } from './JobDetail';
import { jobName } from './names';

/** Rows drawn at once. */
const PAGE = 50;

interface Props {
  jobs: JobView[];
  /** Shown open at first. */
  opened?: string;
}

/** Jobs as rows that open to what they did. */
export function JobCards({ jobs, opened }: Props) {
  const { shown, more } = useMore(jobs, PAGE);
  return (
    <>
      <ul className={css.list}>
        {shown.map((job) => (
          <JobCard key={job.id} job={job} first={job.id === opened} />
        ))}
      </ul>
      {more}
    </>
  );
}

function JobCard({ job, first }: { job: JobView; first: boolean }) {
  const words = useWords();
  const id = useId();
  const [open, setOpen] = useState(first);
  const Icon = JOB_ICONS[job.kind];
  return (
    <li className={css.item}>
      <button
        type="button"
        className={css.head}
        aria-expanded={open}
        aria-controls={id}
        onClick={() => setOpen(!open)}
      >
        <span className={css.icon}>
          <Icon size={17} aria-hidden />
        </span>
        <span>
          <strong>{jobName(job, words)}</strong>
          <div className="dim small">{job.summary}</div>
        </span>
        <Pill tone={jobTone(job.state)}>{words.t.jobs.state[job.state]}</Pill>
        <When job={job} />
      </button>
      <div id={id} hidden={!open}>
        {open && <JobDetail job={job} />}
      </div>
    </li>
  );
}

function When({ job }: { job: JobView }) {
  const { t, f } = useWords();
  const now = useNow();
  const took =
    isFinal(job.state) && job.started && job.ended
      ? t.jobs.took(f.duration((Date.parse(job.ended) - Date.parse(job.started)) / 1000))
      : null;
  return (
    <span className={css.when} title={f.moment(job.created)}>
      {[f.ago(job.ended ?? job.created, now), took].filter(Boolean).join(' · ')}
    </span>
  );
}
