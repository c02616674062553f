import { Checkbox, TextInput } from '@mantine/core';
import type { PlanView } from '~/api/types';
import { useWords } from '~/i18n';
import { readPorts, waysFor, type Choices } from './wishes';

interface Props {
  choices: Choices;
  /** The last plan: its conflicts say which ways are of use. */
  plan: PlanView | undefined;
  onChange: (part: Partial<Choices>) => void;
}

/** Ways round what stands in the way: only those that the plan calls for, and those that were chosen. */
export function WaysOut({ choices, plan, onChange }: Props) {
  const { t } = useWords();
  const ways = waysFor(plan?.conflicts ?? [], choices.ways);
  const wantsPorts = choices.ports !== '' || plan?.conflicts.some((conflict) => conflict.code.startsWith('port.'));
  return (
    <>
      {wantsPorts && (
        <TextInput
          label={t.restore.ports}
          description={t.restore.portsHint}
          placeholder="8080=18080"
          value={choices.ports}
          error={readPorts(choices.ports) ? null : t.restore.portsWrong}
          onChange={(event) => onChange({ ports: event.currentTarget.value })}
          autoComplete="off"
          spellCheck={false}
        />
      )}
      {ways.map((way) => (
        <Checkbox
          key={way}
          label={t.restore.ways[way]}
          checked={choices.ways.includes(way)}
          onChange={(event) =>
            onChange({
              ways: event.currentTarget.checked
                ? [...choices.ways.filter((other) => !(isOfPaths(way) && isOfPaths(other))), way]
                : choices.ways.filter((other) => other !== way),
            })
          }
        />
      ))}
    </>
  );
}

/** Missing paths are left out or made, not both. */
const isOfPaths = (way: string) => way === 'no_paths' || way === 'make_paths';
