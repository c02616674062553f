import { NativeSelect, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useCacheRule } from '~/api/actions';
import type { CacheRule } from '~/api/types';
import { useWords } from '~/i18n';
import { draftOf, isKeep, isQuota, isReserve, ruleOf, type RuleDraft } from '~/lib/cache';
import { ActForm } from './ActForm';

const WHEN_FULL = ['wait', 'refuse'] as const;

/** How much the cache may take, what leaves it last, what a full one does to a backup. */
export function CacheRuleForm({ rule, onDone }: { rule: CacheRule; onDone: () => void }) {
  const { t } = useWords();
  const [draft, setDraft] = useState(() => draftOf(rule));
  const decide = useCacheRule();
  const fits = { quota: isQuota(draft.quota), reserve: isReserve(draft.reserve), keep: isKeep(draft.keep) };
  const good = fits.quota && fits.reserve && fits.keep;
  const field = (name: keyof typeof fits, wrong: string) => ({
    value: draft[name],
    error: fits[name] ? undefined : wrong,
    onChange: (event: { currentTarget: { value: string } }) => setDraft({ ...draft, [name]: event.currentTarget.value }),
  });
  return (
    <ActForm asks={decide} body={good ? ruleOf(draft) : null} told={() => t.storage.cacheSaved} onDone={onDone}>
      <TextInput
        label={t.storage.quotaField}
        description={t.storage.quotaFieldHint}
        inputMode="decimal"
        {...field('quota', t.storage.quotaBad)}
      />
      <TextInput
        label={t.storage.reserveField}
        description={t.storage.reserveFieldHint}
        inputMode="decimal"
        {...field('reserve', t.storage.sizeBad)}
      />
      <TextInput
        label={t.storage.keepField}
        description={t.storage.keepFieldHint}
        inputMode="numeric"
        {...field('keep', t.storage.keepBad)}
      />
      <NativeSelect
        label={t.storage.cacheFull}
        data={WHEN_FULL.map((full) => ({ value: full, label: t.storage.whenFull[full] }))}
        value={draft.full}
        onChange={(event) => setDraft({ ...draft, full: event.currentTarget.value as RuleDraft['full'] })}
      />
    </ActForm>
  );
}
