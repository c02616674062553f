import { Button } from '@mantine/core';
import { useState } from 'react';
import { useSnapshots } from '~/api/queries';
import type { AppView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Panel } from '~/parts/Panel';
import { PointsPanel } from '~/parts/points/PointsPanel';
import { RemovePoint } from './RemovePoint';
import { PointsList } from './PointsList';

/** How many rows are drawn at once. */
const PAGE = 50;

/** Lanes for the overall picture, a list for everything else. */
export function PointsTab({ app }: { app: AppView }) {
  const { t } = useWords();
  const snapshots = useSnapshots(app.id);
  const [rows, setRows] = useState(PAGE);
  const [removing, setRemoving] = useState<SnapshotView | null>(null);
  if (snapshots.data?.length === 0) return <PointsPanel app={app} inside />;
  return (
    <div className="page">
      <PointsPanel app={app} inside />
      <Panel title={t.apps.allPoints} flush>
        <Await of={snapshots} skeleton={5}>
          {(all) => (
            <>
              <PointsList app={app} snapshots={all.toReversed().slice(0, rows)} onRemove={setRemoving} />
              {all.length > rows && (
                <div style={{ padding: '0.75rem 1.25rem' }}>
                  <Button onClick={() => setRows(rows + PAGE)}>{t.apps.showMore}</Button>
                </div>
              )}
            </>
          )}
        </Await>
      </Panel>
      <RemovePoint app={app} snapshot={removing} onClose={() => setRemoving(null)} />
    </div>
  );
}
