import { useState } from 'react';
import { useSnapshots } from '~/api/queries';
import type { AppView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { useMore } from '~/parts/More';
import { Panel } from '~/parts/Panel';
import { PointsPanel } from '~/parts/points/PointsPanel';
import { ForgottenPoints } from './ForgottenPoints';
import { RemovePoint } from './RemovePoint';
import { PointsList } from './PointsList';

/** How many rows are drawn at once. */
const PAGE = 50;

/** Lanes for the overall picture, a list for everything else. */
export function PointsTab({ app }: { app: AppView }) {
  const { t } = useWords();
  const snapshots = useSnapshots(app.id);
  const { shown, more } = useMore(snapshots.data?.toReversed() ?? [], PAGE);
  const [removing, setRemoving] = useState<SnapshotView | null>(null);
  if (snapshots.data?.length === 0) {
    return (
      <div className="page">
        <PointsPanel app={app} inside />
        <ForgottenPoints app={app} />
      </div>
    );
  }
  return (
    <div className="page">
      <PointsPanel app={app} inside />
      <Panel title={t.apps.allPoints} flush>
        <Await of={snapshots} skeleton={5}>
          {() => (
            <>
              <PointsList app={app} snapshots={shown} onRemove={setRemoving} />
              {more}
            </>
          )}
        </Await>
      </Panel>
      <ForgottenPoints app={app} />
      <RemovePoint app={app} snapshot={removing} onClose={() => setRemoving(null)} />
    </div>
  );
}
