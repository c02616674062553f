import { TextInput } from '@mantine/core';
import { useMemo, useState, type FormEvent } from 'react';
import { useConfirmKit } from '~/api/actions';
import { useWords } from '~/i18n';
import { keyGroups, places, sameGroup } from '~/lib/kit';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';

/** Two groups typed back: proof that what was stored can be read. */
export function KitConfirm({ text, onDone }: { text: string; onDone: () => void }) {
  const { t, f } = useWords();
  const confirm = useConfirmKit();
  const groups = useMemo(() => keyGroups(text), [text]);
  const asked = useMemo(() => (groups.length > 1 ? places(groups.length, Math.random) : []), [groups]);
  const [typed, setTyped] = useState<Record<number, string>>({});
  const [tried, setTried] = useState(false);
  const right = (place: number) => sameGroup(typed[place] ?? '', groups[place] ?? '');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (asked.every(right)) confirm.mutate(undefined, { onSuccess: onDone });
  };
  return (
    <form onSubmit={submit} className="page">
      <p className="small dim">{t.entry.kitCheck}</p>
      <div className="row" style={{ alignItems: 'flex-start' }}>
        {asked.map((place) => (
          <TextInput
            key={place}
            label={t.entry.kitGroup(f.number(place + 1))}
            classNames={{ input: 'mono' }}
            value={typed[place] ?? ''}
            onChange={(event) => setTyped({ ...typed, [place]: event.currentTarget.value })}
            error={tried && !right(place) && t.entry.kitWrong}
            autoComplete="off"
            spellCheck={false}
          />
        ))}
      </div>
      {confirm.isError && <Failure error={confirm.error} />}
      <div>
        <ChangeButton type="submit" variant="filled" loading={confirm.isPending}>
          {t.entry.kitConfirm}
        </ChangeButton>
      </div>
    </form>
  );
}
