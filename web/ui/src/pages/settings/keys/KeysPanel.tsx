import { Button } from '@mantine/core';
import { useState } from 'react';
import { useLink } from '~/api/link';
import { useKeys } from '~/api/queries';
import type { KeysView, SlotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { DataTable } from '~/parts/DataTable';
import { Panel } from '~/parts/Panel';
import { AddEscrow } from './AddEscrow';
import { PassphraseForm } from './PassphraseForm';
import { RemoveSlot } from './RemoveSlot';
import { Rotate } from './Rotate';
import { SlotRow } from './SlotRow';

type Act =
  | { kind: 'add' | 'escrow' | 'recovery' | 'epoch' }
  | { kind: 'change' | 'remove'; slot: SlotView };

/** Who may open the backups: slots with their ages, and what can be done about them. */
export function KeysPanel() {
  const { t } = useWords();
  const keys = useKeys();
  return (
    <Panel title={t.keys.title}>
      <Await of={keys} skeleton={3}>
        {(view) => <Slots view={view} />}
      </Await>
    </Panel>
  );
}

function Slots({ view }: { view: KeysView }) {
  const { t, f } = useWords();
  const { up } = useLink();
  const [act, setAct] = useState<Act | null>(null);
  const close = () => setAct(null);
  const epoch = f.number(view.epoch);
  return (
    <div className="page">
      <p className="dim small">{t.keys.hint}</p>
      <DataTable label={t.keys.title} heads={[t.keys.what, t.keys.made, t.keys.where, '']}>
        {view.slots.map((slot) => (
          <SlotRow
            key={slot.id}
            slot={slot}
            onChange={() => setAct({ kind: 'change', slot })}
            onRemove={() => setAct({ kind: 'remove', slot })}
          />
        ))}
      </DataTable>
      <p className="dim small">
        {view.epoch_since ? t.keys.epochSince(epoch, f.moment(view.epoch_since)) : t.keys.epoch(epoch)}
      </p>
      <div className="row">
        <Button disabled={!up} onClick={() => setAct({ kind: 'add' })}>
          {t.keys.addPassphrase}
        </Button>
        <Button disabled={!up} onClick={() => setAct({ kind: 'escrow' })}>
          {t.keys.addEscrow}
        </Button>
        <Button disabled={!up} onClick={() => setAct({ kind: 'recovery' })}>
          {t.keys.newKit}
        </Button>
        <Button disabled={!up} onClick={() => setAct({ kind: 'epoch' })}>
          {t.keys.newEpoch}
        </Button>
      </div>
      <PassphraseForm opened={act?.kind === 'add'} onClose={close} />
      <PassphraseForm opened={act?.kind === 'change'} slot={act?.kind === 'change' ? act.slot : undefined} onClose={close} />
      <AddEscrow opened={act?.kind === 'escrow'} onClose={close} />
      <Rotate what="recovery" opened={act?.kind === 'recovery'} onClose={close} />
      <Rotate what="epoch" opened={act?.kind === 'epoch'} onClose={close} />
      <RemoveSlot slot={act?.kind === 'remove' ? act.slot : null} onClose={close} />
    </div>
  );
}
