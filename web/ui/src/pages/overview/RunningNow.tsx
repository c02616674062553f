import type { UseQueryResult } from '@tanstack/react-query';
import type { StatusView } from '~/api/types';
import { useWords } from '~/i18n';
import { grouped } from '~/lib/jobs';
import { Await } from '~/parts/Await';
import { JobLine } from '~/parts/jobs/JobLine';
import { Panel } from '~/parts/Panel';

/** More than these are on the jobs page. */
const MOST = 4;

/** What is at work at this moment. */
export function RunningNow({ status }: { status: UseQueryResult<StatusView, unknown> }) {
  const { t } = useWords();
  return (
    <Panel title={t.overview.runningNow} aside={(status.data?.jobs.length ?? 0) > 0 && t.overview.live}>
      <Await of={status} skeleton={2}>
        {({ jobs }) =>
          jobs.length === 0 ? (
            <p className="dim small">{t.overview.idleJobs}</p>
          ) : (
            <div className="stack" style={{ gap: '1rem' }}>
              {grouped(jobs)
                .active.slice(0, MOST)
                .map((job) => (
                  <JobLine key={job.id} job={job} />
                ))}
            </div>
          )
        }
      </Await>
    </Panel>
  );
}
