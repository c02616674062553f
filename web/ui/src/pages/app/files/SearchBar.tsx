import { Button, TextInput } from '@mantine/core';
import { IconSearch } from '@tabler/icons-react';
import { useState, type FormEvent } from 'react';
import { useWords } from '~/i18n';

/** Asks for a name; the search begins when it is sent, for it looks through everything. */
export function SearchBar({ find, go }: { find?: string; go: (find: string | undefined) => void }) {
  const { t } = useWords();
  const [typed, setTyped] = useState(find ?? '');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    go(typed.trim() || undefined);
  };
  return (
    <form onSubmit={submit} className="row" role="search" style={{ alignItems: 'flex-end' }}>
      <TextInput
        label={t.files.search}
        placeholder={t.files.searchHint}
        value={typed}
        maxLength={200}
        onChange={(event) => setTyped(event.currentTarget.value)}
        leftSection={<IconSearch size={16} aria-hidden />}
        style={{ flex: '1 1 16rem' }}
        spellCheck={false}
      />
      <Button type="submit" disabled={typed.trim() === ''}>
        {t.files.searchGo}
      </Button>
      {find && <Button onClick={() => go(undefined)}>{t.files.searchEnd}</Button>}
    </form>
  );
}
