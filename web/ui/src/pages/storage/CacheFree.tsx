import { TextInput } from '@mantine/core';
import { useState } from 'react';
import { useEvict } from '~/api/actions';
import { useEvictPlan } from '~/api/queries';
import type { CacheState, Evicted } from '~/api/types';
import { useWords } from '~/i18n';
import { bytesOf, proposal } from '~/lib/cache';
import { Await } from '~/parts/Await';
import { ActForm } from './ActForm';

/** What would leave the cache, before anything leaves. */
export function CacheFree({ room, onDone }: { room: CacheState; onDone: () => void }) {
  const { t, f } = useWords();
  const [text, setText] = useState(() => proposal(room));
  const bytes = bytesOf(text);
  const aim = bytes !== null && bytes >= 0 ? bytes : null;
  const plan = useEvictPlan(aim);
  const evict = useEvict();
  const nothing = plan.data === undefined || plan.data.packs === 0;
  return (
    <ActForm
      asks={evict}
      body={nothing ? null : aim}
      told={(gone: Evicted) => t.storage.freed(f.bytes(gone.bytes))}
      act={t.storage.cacheFree}
      onDone={onDone}
    >
      <p className="dim small">{t.storage.freeHint}</p>
      <TextInput
        label={t.storage.freeField}
        inputMode="decimal"
        value={text}
        error={aim === null ? t.storage.sizeBad : undefined}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      {aim !== null && <Await of={plan} skeleton={1}>{(gone) => <Preview gone={gone} />}</Await>}
    </ActForm>
  );
}

function Preview({ gone }: { gone: Evicted }) {
  const { t, f } = useWords();
  return (
    <p role="status">
      <strong>
        {gone.packs === 0 ? t.storage.freeNothing : t.storage.freeLine(f.bytes(gone.bytes), f.number(gone.packs), gone.packs)}
      </strong>
      {gone.short_bytes > 0 && ` ${t.storage.freeShort(f.bytes(gone.short_bytes))}`}
    </p>
  );
}
