import { Button } from '@mantine/core';
import { useState } from 'react';
import { usePrune } from '~/api/actions';
import { usePrunePlan } from '~/api/queries';
import type { PruneView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { ChangeButton } from '~/parts/ChangeButton';
import { DataTable } from '~/parts/DataTable';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';
import { Failure, ProblemList } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

/** Enough lines to judge a plan by. */
const MOST_LINES = 100;

/** What would go and why, before anything goes. */
export function PrunePanel() {
  const { t } = useWords();
  const [shown, show] = useState(false);
  const plan = usePrunePlan(shown);
  const prune = usePrune();
  const { done } = useToasts();
  const start = () =>
    prune.mutate(undefined, {
      onSuccess: () => {
        done(t.storage.pruneStarted);
        show(false);
      },
    });
  return (
    <Panel title={t.storage.prune} aside={t.storage.pruneHint}>
      <div className="page">
        {shown && <Await of={plan}>{(data) => <Preview plan={data} />}</Await>}
        {prune.isError && <Failure error={prune.error} />}
        <div className="row">
          {!shown && <Button onClick={() => show(true)}>{t.storage.prunePreview}</Button>}
          {shown && plan.data && (
            <ChangeButton variant="filled" loading={prune.isPending} onClick={start}>
              {t.storage.pruneStart}
            </ChangeButton>
          )}
          {shown && <Button onClick={() => show(false)}>{t.common.cancel}</Button>}
        </div>
      </div>
    </Panel>
  );
}

function Preview({ plan }: { plan: PruneView }) {
  const { t, f } = useWords();
  const lines = [
    ...plan.forget.map((line) => ({ ...line, goes: true })),
    ...plan.keep.map((line) => ({ ...line, goes: false })),
  ].slice(0, MOST_LINES);
  const sentence =
    plan.forget.length === 0 ? t.storage.pruneNothing : t.storage.pruneGo(f.number(plan.forget.length), plan.forget.length);
  return (
    <div className="stack">
      <p>
        <strong>{sentence}</strong>, {t.storage.pruneStay(f.number(plan.keep.length), plan.keep.length)}.{' '}
        {t.storage.pruneFrees(f.number(plan.packs), f.bytes(plan.cache_bytes), f.bytes(plan.bucket_bytes))}.{' '}
        {plan.held_bytes > 0 && `${t.storage.pruneHeld(f.bytes(plan.held_bytes))}. `}
        {plan.repack > 0 &&
          `${t.storage.pruneRepacks(f.number(plan.repack), f.bytes(plan.repack_bytes), f.bytes(plan.repack_frees))}. `}
        {plan.locked_bytes > 0 && `${t.storage.pruneLocked(f.bytes(plan.locked_bytes))}.`}
      </p>
      {plan.problems.length > 0 && <ProblemList problems={plan.problems} />}
      {lines.length > 0 && (
        <DataTable label={t.storage.prune} heads={[t.apps.colApp, t.apps.colTime, t.apps.colState, t.storage.why]}>
          {lines.map((line) => (
            <tr key={line.id}>
              <td>{line.app}</td>
              <td>{f.shortMoment(line.time)}</td>
              <td>
                <Pill tone={line.goes ? 'warn' : 'good'}>{line.goes ? t.storage.goes : t.storage.stays}</Pill>
              </td>
              <td className="dim">{line.reason}</td>
            </tr>
          ))}
        </DataTable>
      )}
    </div>
  );
}
