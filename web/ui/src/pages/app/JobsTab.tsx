import { useJobs } from '~/api/queries';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { JobCards } from '~/parts/jobs/JobCards';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';

/** What ran for this app. */
export function JobsTab({ app }: { app: AppView }) {
  const { t } = useWords();
  const jobs = useJobs();
  return (
    <Panel title={t.jobs.title} flush>
      <Await of={jobs}>
        {(all) => {
          const mine = all.filter((job) => job.subject === app.id);
          return mine.length === 0 ? <Empty title={t.apps.noJobs} /> : <JobCards jobs={mine} />;
        }}
      </Await>
    </Panel>
  );
}
