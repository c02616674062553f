import { Checkbox, Select, TextInput } from '@mantine/core';
import { IconCopyPlus, IconReplace, IconServer } from '@tabler/icons-react';
import { useHosts } from '~/api/queries';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { Choice } from '~/parts/Choice';
import type { Choices } from './wishes';

interface Props {
  app: AppView;
  choices: Choices;
  onChange: (part: Partial<Choices>) => void;
}

/** Beside is the default: it cannot hurt what runs. */
export function WhereChoice({ app, choices, onChange }: Props) {
  const { t, f } = useWords();
  const { data: hosts = [] } = useHosts();
  const others = hosts.filter((host) => host.name !== app.host && host.reachable).map((host) => host.name);
  const besideName = choices.name.trim() || `${app.name}-restore`;
  return (
    <div className="stack">
      <Choice
        label={t.restore.where}
        value={choices.where}
        onChange={(where) => onChange({ where, host: where === 'host' ? (others[0] ?? null) : null })}
        options={[
          {
            value: 'beside',
            label: t.restore.beside,
            hint: t.restore.besideHint(besideName),
            icon: <IconCopyPlus size={19} aria-hidden />,
          },
          {
            value: 'in_place',
            label: t.restore.inPlace,
            hint: t.restore.inPlaceHint,
            icon: <IconReplace size={19} aria-hidden />,
          },
          {
            value: 'host',
            label: t.restore.host,
            hint: others.length > 0 ? f.list(others) : t.restore.hostNone,
            icon: <IconServer size={19} aria-hidden />,
            disabled: others.length === 0,
          },
        ]}
      />
      {choices.where === 'beside' && (
        <TextInput
          label={t.restore.besideName}
          placeholder={`${app.name}-restore`}
          value={choices.name}
          onChange={(event) => onChange({ name: event.currentTarget.value })}
          autoComplete="off"
          spellCheck={false}
        />
      )}
      {choices.where === 'host' && others.length > 1 && (
        <Select
          label={t.restore.chooseHost}
          data={others}
          value={choices.host}
          onChange={(host) => onChange({ host })}
          allowDeselect={false}
        />
      )}
      {choices.where !== 'beside' && choices.what !== 'volume' && (
        <>
          <Checkbox
            label={t.restore.noPorts}
            description={t.restore.noPortsHint}
            checked={choices.noPorts}
            onChange={(event) => onChange({ noPorts: event.currentTarget.checked })}
          />
          <Checkbox
            label={t.restore.noAddresses}
            description={t.restore.noAddressesHint}
            checked={choices.noAddresses}
            onChange={(event) => onChange({ noAddresses: event.currentTarget.checked })}
          />
        </>
      )}
    </div>
  );
}
