import { useState } from 'react';
import { useApps, useStatus } from '~/api/queries';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { attention } from '~/lib/apps';
import { AppsTable } from '~/parts/apps/AppsTable';
import { Await } from '~/parts/Await';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { PointsPanel } from '~/parts/points/PointsPanel';
import { ProblemList } from '~/parts/Problems';
import { ActivityPanel } from './ActivityPanel';
import { DataPath, DataPathBones } from './DataPath';
import { Headline } from './Headline';
import css from './Overview.module.css';
import { ProtectOffer } from './ProtectOffer';
import { RunningNow } from './RunningNow';

/** Is all well, and if not, what to do: everything at a glance. */
export function Overview() {
  const { t, f } = useWords();
  const status = useStatus();
  const apps = useApps();
  const [chosen, choose] = useState<string | null>(null);
  const shown = shownApp(apps.data ?? [], chosen);
  const hosts = status.data?.hosts.length ?? 0;
  return (
    <div className="page">
      <Headline status={status} apps={apps.data ?? []} />
      {status.data && status.data.problems.length > 0 && (
        <Panel title={t.overview.problems}>
          <ProblemList problems={status.data.problems} />
        </Panel>
      )}
      {apps.data && <ProtectOffer apps={apps.data} />}
      <Await of={status} skeleton={<DataPathBones />}>
        {(data) => <DataPath status={data} />}
      </Await>
      <div className={css.pair}>
        <RunningNow status={status} />
        <ActivityPanel status={status} />
      </div>
      <Panel title={t.apps.title} flush aside={hosts > 0 && t.overview.agentless(f.number(hosts), hosts)}>
        <Await of={apps} skeleton={5}>
          {(all) =>
            all.length === 0 ? (
              <Empty title={t.overview.noApps}>{t.overview.noAppsHint}</Empty>
            ) : (
              <AppsTable apps={all} shown={shown?.id} onShow={choose} />
            )
          }
        </Await>
      </Panel>
      {shown && <PointsPanel app={shown} />}
    </div>
  );
}

/** The chosen app, else the one that most needs a look, else the first with restore points. */
function shownApp(apps: AppView[], chosen: string | null): AppView | undefined {
  const withPoints = apps.filter((app) => app.snapshots > 0);
  return apps.find((app) => app.id === chosen) ?? attention(withPoints)[0] ?? withPoints[0];
}
