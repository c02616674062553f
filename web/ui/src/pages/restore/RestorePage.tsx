import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useApps, useJobs } from '~/api/queries';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { canRestore } from '~/lib/apps';
import { useNow } from '~/lib/now';
import { AppName } from '~/parts/apps/cells';
import { Await } from '~/parts/Await';
import { DataTable } from '~/parts/DataTable';
import { JobCards } from '~/parts/jobs/JobCards';
import { Empty, Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { TierTags } from '~/parts/TierTags';
import { Title } from '~/parts/Title';
import { useRestore } from '~/restore/RestoreProvider';

/** Recent restores worth listing. */
const RECENT = 8;

/** Getting something back: choose the app, the drawer does the rest. */
export function RestorePage() {
  const { t } = useWords();
  const apps = useApps();
  return (
    <div className="page">
      <Title text={t.restore.page}>
        <span className="dim small">{t.restore.pageHint}</span>
      </Title>
      <Panel title={t.apps.title} flush>
        <Await of={apps} skeleton={5}>
          {(all) => <Restorable apps={all.filter(canRestore)} />}
        </Await>
      </Panel>
      <Recent />
      <Notice
        tone="calm"
        title={t.restore.disaster}
        action={
          <Button size="xs" renderRoot={(props) => <Link to="/recover" {...props} />}>
            {t.restore.recover}
          </Button>
        }
      >
        {t.restore.disasterHint}
      </Notice>
    </div>
  );
}

function Restorable({ apps }: { apps: AppView[] }) {
  const { t, f } = useWords();
  const now = useNow();
  const { open } = useRestore();
  if (apps.length === 0) return <Empty title={t.restore.empty}>{t.restore.emptyHint}</Empty>;
  return (
    <DataTable label={t.apps.title} heads={[t.apps.colApp, t.apps.colLast, t.apps.restorePoints, t.apps.colNewest, '']}>
      {apps.map((app) => (
        <tr key={app.id}>
          <td>
            <AppName app={app} />
          </td>
          <td>{app.last_backup ? f.ago(app.last_backup, now) : t.common.never}</td>
          <td className="numbers">{f.number(app.snapshots)}</td>
          <td>{app.newest && <TierTags state={app.newest} />}</td>
          <td style={{ textAlign: 'right' }}>
            <Button size="compact-sm" onClick={() => open({ app })} aria-label={t.apps.restoreOf(app.name)}>
              {t.apps.restore}
            </Button>
          </td>
        </tr>
      ))}
    </DataTable>
  );
}

function Recent() {
  const { t } = useWords();
  const jobs = useJobs();
  return (
    <Panel title={t.restore.recent} flush>
      <Await of={jobs}>
        {(all) => {
          const restores = all.filter((job) => job.kind === 'restore').slice(0, RECENT);
          return restores.length === 0 ? <Empty title={t.restore.recentNone} /> : <JobCards jobs={restores} />;
        }}
      </Await>
    </Panel>
  );
}
