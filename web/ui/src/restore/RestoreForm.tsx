import { Select } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useState } from 'react';
import { usePlan, useSnapshot } from '~/api/queries';
import type { AppView, JobView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { FromChoice } from './FromChoice';
import { Plan } from './Plan';
import css from './restore.module.css';
import { StartButton } from './StartButton';
import { WaysOut } from './WaysOut';
import { WhatChoice } from './WhatChoice';
import { WhereChoice } from './WhereChoice';
import { firstChoices, request, type Choices } from './wishes';

interface Props {
  app: AppView;
  snapshots: SnapshotView[];
  first: SnapshotView;
  onStarted: (job: JobView) => void;
}

/** Typing a name must not ask for a plan per letter. */
const SETTLE_MS = 250;

export function RestoreForm({ app, snapshots, first, onStarted }: Props) {
  const [choices, setChoices] = useState<Choices>(() => firstChoices(first));
  const change = (part: Partial<Choices>) => setChoices((before) => ({ ...before, ...part }));
  const wanted = request(choices);
  const text = wanted && JSON.stringify(wanted);
  const [settled] = useDebouncedValue(text, SETTLE_MS);
  const plan = usePlan(settled ? JSON.parse(settled) : null);
  // The last plan stays on the screen while the next is worked out, but only its own wish may start.
  const current = wanted !== null && settled === text && !plan.isPlaceholderData;
  const snapshot = snapshots.find((each) => each.id === choices.snapshot) ?? first;
  const volumes = useParts(snapshot.id, 'volume');
  const services = useParts(snapshot.id, 'container');
  return (
    <div className={css.form}>
      <div className="stack">
        <PointChoice
          snapshots={snapshots}
          selected={snapshot}
          onSelect={(id) => change({ snapshot: id, source: 'auto', volume: null, services: [], what: 'app' })}
        />
        <FromChoice
          snapshot={snapshot}
          plan={plan.data}
          value={choices.source}
          onChange={(source) => change({ source })}
        />
      </div>
      <WhatChoice choices={choices} volumes={volumes} services={services} onChange={change} />
      <WhereChoice app={app} choices={choices} onChange={change} />
      {choices.what !== 'volume' && <WaysOut choices={choices} plan={plan.data} onChange={change} />}
      <Plan plan={plan} waiting={wanted === null} />
      <StartButton app={app} request={wanted} plan={current ? plan.data : undefined} onStarted={onStarted} />
    </div>
  );
}

function PointChoice({ snapshots, selected, onSelect }: Pick<Props, 'snapshots'> & {
  selected: SnapshotView;
  onSelect: (id: string) => void;
}) {
  const { t, f } = useWords();
  const [open, setOpen] = useState(false);
  const options = snapshots
    .map((each) => ({ value: each.id, label: f.moment(each.time) }))
    .reverse();
  return (
    <div>
      <div className={css.label}>{t.restore.from}</div>
      {open ? (
        <Select
          aria-label={t.restore.point}
          data={options}
          value={selected.id}
          onChange={(id) => id && onSelect(id)}
          allowDeselect={false}
          searchable
          autoFocus
        />
      ) : (
        <div className={css.point}>
          <strong>{f.moment(selected.time)}</strong>
          <button type="button" className={css.change} onClick={() => setOpen(true)}>
            {t.restore.change}
          </button>
        </div>
      )}
    </div>
  );
}

function useParts(snapshot: string, kind: 'volume' | 'container'): string[] {
  const { data } = useSnapshot(snapshot);
  return (data?.contents ?? [])
    .filter((part) => part.captured && part.kind === kind)
    .map((part) => part.name);
}
