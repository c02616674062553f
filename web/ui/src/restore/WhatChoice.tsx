import { MultiSelect, Select } from '@mantine/core';
import { IconBox, IconDatabase, IconPuzzle } from '@tabler/icons-react';
import { useWords } from '~/i18n';
import { Choice } from '~/parts/Choice';
import type { Choices } from './wishes';

interface Props {
  choices: Choices;
  volumes: string[];
  services: string[];
  onChange: (part: Partial<Choices>) => void;
}

/** The whole app, some of its containers with what they need, or the content of one volume. */
export function WhatChoice({ choices, volumes, services, onChange }: Props) {
  const { t } = useWords();
  const choose = (what: Choices['what']) => onChange({ what, volume: what === 'volume' ? (volumes[0] ?? null) : null });
  return (
    <div className="stack">
      <Choice
        label={t.restore.what}
        columns={3}
        tall
        value={choices.what}
        onChange={choose}
        options={[
          {
            value: 'app',
            label: t.restore.whole,
            hint: t.restore.wholeHint,
            icon: <IconBox size={19} aria-hidden />,
          },
          {
            value: 'service',
            label: t.restore.service,
            hint: t.restore.serviceHint,
            icon: <IconPuzzle size={19} aria-hidden />,
            disabled: services.length < 2,
          },
          {
            value: 'volume',
            label: t.restore.volume,
            hint: t.restore.volumeHint,
            icon: <IconDatabase size={19} aria-hidden />,
            disabled: volumes.length === 0,
          },
        ]}
      />
      {choices.what === 'service' && (
        <MultiSelect
          label={t.restore.chooseServices}
          data={services}
          value={choices.services}
          onChange={(chosen) => onChange({ services: chosen })}
          searchable
        />
      )}
      {choices.what === 'volume' && (
        <Select
          label={t.restore.chooseVolume}
          data={volumes}
          value={choices.volume}
          onChange={(volume) => onChange({ volume })}
          allowDeselect={false}
          searchable
        />
      )}
    </div>
  );
}
