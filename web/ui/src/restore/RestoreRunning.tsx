import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useJob } from '~/api/queries';
import type { JobView } from '~/api/types';
import { useWords } from '~/i18n';
import { jobTone } from '~/lib/apps';
import { isFinal } from '~/lib/jobs';
import { JobLine } from '~/parts/jobs/JobLine';
import { Notice } from '~/parts/Notice';
import { ProblemList } from '~/parts/Problems';

/** The restore that was just started, live until its end. */
export function RestoreRunning({ first }: { first: JobView }) {
  const { t } = useWords();
  const job = useJob(first.id).data ?? first;
  return (
    <div className="page" aria-live="polite">
      {isFinal(job.state) ? (
        <Notice tone={jobTone(job.state)} title={job.state === 'done' ? t.restore.done : t.jobs.state[job.state]}>
          {job.summary}
        </Notice>
      ) : (
        <>
          <JobLine job={job} />
          <p className="dim small">{t.restore.running}</p>
        </>
      )}
      {job.problems.length > 0 && <ProblemList problems={job.problems} />}
      <div>
        <Button renderRoot={(props) => <Link to="/jobs" search={{ job: job.id }} {...props} />}>
          {t.restore.follow}
        </Button>
      </div>
    </div>
  );
}
