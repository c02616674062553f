import { NativeSelect, TextInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useCacheRule } from '~/api/actions';
import type { CacheRule } from '~/api/types';
import { useWords } from '~/i18n';
import { draftOf, isKeep, isQuota, isReserve, ruleOf, type RuleDraft } from '~/lib/cache';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

const WHEN_FULL = ['wait', 'refuse'] as const;

/** How much the cache may take, what leaves it last, what a full one does to a backup. */
export function CacheRuleForm({ rule, onDone }: { rule: CacheRule; onDone: () => void }) {
  const { t } = useWords();
  const [draft, setDraft] = useState(() => draftOf(rule));
  const decide = useCacheRule();
  const { done } = useToasts();
  const fits = { quota: isQuota(draft.quota), reserve: isReserve(draft.reserve), keep: isKeep(draft.keep) };
  const good = fits.quota && fits.reserve && fits.keep;
  const field = (name: keyof typeof fits, wrong: string) => ({
    value: draft[name],
    error: fits[name] ? undefined : wrong,
    onChange: (event: { currentTarget: { value: string } }) => setDraft({ ...draft, [name]: event.currentTarget.value }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    decide.mutate(ruleOf(draft), {
      onSuccess: () => {
        done(t.storage.cacheSaved);
        onDone();
      },
    });
  };
  return (
    <form onSubmit={submit} className="page">
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
      {decide.isError && <Failure error={decide.error} />}
      <div>
        <ChangeButton type="submit" variant="filled" disabled={!good} loading={decide.isPending}>
          {t.common.save}
        </ChangeButton>
      </div>
    </form>
  );
}
