import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { AppView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { DataTable } from '~/parts/DataTable';
import { BringBack } from '~/parts/points/BringBack';
import { Pill } from '~/parts/Pill';
import { TierTags } from '~/parts/TierTags';
import { useRestore } from '~/restore/RestoreProvider';
import { RemoveButton } from './RemovePoint';

interface Props {
  app: AppView;
  snapshots: SnapshotView[];
  onRemove: (snapshot: SnapshotView) => void;
}

/** Restore points as rows, newest first. */
export function PointsList({ app, snapshots, onRemove }: Props) {
  const { t, f } = useWords();
  const { open } = useRestore();
  return (
    <DataTable label={t.apps.allPoints} heads={[t.apps.colTime, t.apps.colNew, t.apps.colSize, t.apps.colHow, t.apps.colTiers, '']}>
      {snapshots.map((snapshot) => (
        <tr key={snapshot.id}>
          <td>
            <Link to="." search={{ tab: 'contents', point: snapshot.id }} className="plain-link">
              <strong>{f.moment(snapshot.time)}</strong>
            </Link>
            <div className="dim">{t.common.trigger[snapshot.trigger]}</div>
          </td>
          <td className="numbers">{f.bytes(snapshot.bytes_new)}</td>
          <td className="numbers">{f.bytes(snapshot.bytes_logical)}</td>
          <td>
            <div className="row" style={{ gap: '0.35rem' }}>
              <Pill tone={snapshot.consistency === 'none' ? 'calm' : 'good'}>
                {t.common.reached[snapshot.consistency]}
              </Pill>
              {snapshot.problems.length > 0 && <Pill tone="warn">{t.apps.legend.problems}</Pill>}
            </div>
          </td>
          <td>
            <TierTags state={snapshot.state} />
          </td>
          <td>
            <div className="row" style={{ flexWrap: 'nowrap', justifyContent: 'flex-end' }}>
              <Button
                size="compact-sm"
                aria-label={`${t.files.list}: ${f.moment(snapshot.time)}`}
                renderRoot={(props) => <Link to="." search={{ tab: 'files', point: snapshot.id }} {...props} />}
              >
                {t.files.list}
              </Button>
              <Button
                size="compact-sm"
                aria-label={`${t.apps.restore}: ${f.moment(snapshot.time)}`}
                onClick={() => open({ app, snapshot: snapshot.id })}
              >
                {t.apps.restore}
              </Button>
              <BringBack snapshot={snapshot} small />
              <RemoveButton
                label={`${t.apps.remove}: ${f.moment(snapshot.time)}`}
                onClick={() => onRemove(snapshot)}
              />
            </div>
          </td>
        </tr>
      ))}
    </DataTable>
  );
}
