import { Select } from '@mantine/core';
import { IconBox, IconDatabase } from '@tabler/icons-react';
import { useWords } from '~/i18n';
import { Choice } from '~/parts/Choice';
import type { Choices } from './wishes';

interface Props {
  choices: Choices;
  volumes: string[];
  onChange: (part: Partial<Choices>) => void;
}

/** The whole app, or the content of one volume. */
export function WhatChoice({ choices, volumes, onChange }: Props) {
  const { t } = useWords();
  const choose = (what: Choices['what']) => onChange({ what, volume: what === 'volume' ? (volumes[0] ?? null) : null });
  return (
    <div className="stack">
      <Choice
        label={t.restore.what}
        columns={2}
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
            value: 'volume',
            label: t.restore.volume,
            hint: t.restore.volumeHint,
            icon: <IconDatabase size={19} aria-hidden />,
            disabled: volumes.length === 0,
          },
        ]}
      />
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
