import { Button } from '@mantine/core';
import { useState } from 'react';
import { useUnforget } from '~/api/actions';
import { useLink } from '~/api/link';
import { useForgotten } from '~/api/queries';
import type { AppView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { DataTable } from '~/parts/DataTable';
import { Panel } from '~/parts/Panel';
import { useToasts } from '~/parts/Toasts';
import { RemoveButton, RemovePoint } from './RemovePoint';

/** Restore points that somebody deleted and that can be brought back; nothing where there are none. */
export function ForgottenPoints({ app }: { app: AppView }) {
  const { t, f } = useWords();
  const { up } = useLink();
  const points = useForgotten(app.id).data ?? [];
  const unforget = useUnforget();
  const { done, failed } = useToasts();
  const [removing, setRemoving] = useState<SnapshotView | null>(null);
  const bring = (id: string) => unforget.mutate(id, { onSuccess: () => done(t.apps.broughtBack), onError: failed });
  if (points.length === 0 && removing === null) return null;
  return (
    <Panel title={t.apps.forgotten} aside={t.apps.forgottenHint} flush>
      <DataTable label={t.apps.forgotten} heads={[t.apps.colTime, t.apps.colSize, t.apps.colRemoved, '']}>
        {points.toReversed().map((point) => (
          <tr key={point.id}>
            <td>
              <strong>{f.moment(point.time)}</strong>
            </td>
            <td className="numbers">{f.bytes(point.bytes_logical)}</td>
            <td>{point.forgotten_until && f.shortMoment(point.forgotten_until)}</td>
            <td>
              <div className="row" style={{ flexWrap: 'nowrap', justifyContent: 'flex-end' }}>
                <Button
                  size="compact-sm"
                  aria-label={`${t.apps.bringBack}: ${f.moment(point.time)}`}
                  disabled={!up || unforget.isPending}
                  onClick={() => bring(point.id)}
                >
                  {t.apps.bringBack}
                </Button>
                <RemoveButton
                  label={`${t.apps.removeNow}: ${f.moment(point.time)}`}
                  onClick={() => setRemoving(point)}
                />
              </div>
            </td>
          </tr>
        ))}
      </DataTable>
      <RemovePoint app={app} snapshot={removing} now onClose={() => setRemoving(null)} />
    </Panel>
  );
}
