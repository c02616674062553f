import { Button, Modal, NativeSelect, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState, type FormEvent } from 'react';
import { useLock } from '~/api/actions';
import { useLink } from '~/api/link';
import type { BucketView } from '~/api/types';
import { useWords } from '~/i18n';
import { draftOf, isDays, MODES, ruleOf, type LockDraft } from '~/lib/lock';
import { useNow } from '~/lib/now';
import { ChangeButton } from '~/parts/ChangeButton';
import { Facts } from '~/parts/Facts';
import { Notice } from '~/parts/Notice';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

/** How long the bucket keeps what is written into it, whoever asks for it to be deleted. */
export function Lock({ bucket }: { bucket: BucketView }) {
  const { t, f } = useWords();
  const { up } = useLink();
  const now = useNow();
  const [opened, dialog] = useDisclosure(false);
  const { lock } = bucket;
  const able = bucket.capabilities?.object_lock ?? false;
  const rule = lock
    ? t.storage.lockLine(f.number(lock.rule.days), t.storage.lockModes[lock.rule.mode])
    : t.storage.lockNone;
  return (
    <div className="stack">
      {lock?.broken && (
        <Notice tone="bad" title={t.storage.lockBroken}>
          {t.storage.lockBrokenHint}
        </Notice>
      )}
      <Facts
        facts={[
          [t.storage.lock, rule],
          [t.storage.lockProved, lock && (lock.proved ? f.ago(lock.proved, now) : t.common.never)],
        ]}
      />
      {!able && !lock && <p className="dim small">{t.storage.lockUnable}</p>}
      <div className="row">
        <Button disabled={!up || (!able && !lock)} onClick={dialog.open}>
          {t.storage.lockChange}
        </Button>
      </div>
      <Modal
        opened={opened}
        onClose={dialog.close}
        title={t.storage.lockChange}
        closeButtonProps={{ 'aria-label': t.common.close }}
      >
        {opened && <LockForm bucket={bucket} onDone={dialog.close} />}
      </Modal>
    </div>
  );
}

function LockForm({ bucket, onDone }: { bucket: BucketView; onDone: () => void }) {
  const { t } = useWords();
  const [draft, setDraft] = useState(() => draftOf(bucket.lock?.rule ?? null));
  const decide = useLock();
  const { done } = useToasts();
  const good = isDays(draft.days);
  const save = (rule: ReturnType<typeof ruleOf> | null) =>
    decide.mutate(
      { rule },
      {
        onSuccess: () => {
          done(t.storage.lockDone);
          onDone();
        },
      },
    );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save(ruleOf(draft));
  };
  return (
    <form onSubmit={submit} className="page">
      <NativeSelect
        label={t.storage.lockMode}
        description={t.storage.lockModeHints[draft.mode]}
        data={MODES.map((mode) => ({ value: mode, label: t.storage.lockModes[mode] }))}
        value={draft.mode}
        onChange={(event) => setDraft({ ...draft, mode: event.currentTarget.value as LockDraft['mode'] })}
      />
      <TextInput
        label={t.storage.lockDays}
        description={t.storage.lockDaysHint}
        inputMode="numeric"
        value={draft.days}
        error={good ? undefined : t.storage.lockDaysBad}
        onChange={(event) => setDraft({ ...draft, days: event.currentTarget.value })}
      />
      {decide.isError && <Failure error={decide.error} />}
      <div className="row">
        <ChangeButton type="submit" variant="filled" disabled={!good} loading={decide.isPending}>
          {t.common.save}
        </ChangeButton>
        {bucket.lock && (
          <ChangeButton loading={decide.isPending} onClick={() => save(null)}>
            {t.storage.lockOff}
          </ChangeButton>
        )}
      </div>
      {bucket.lock && <p className="dim small">{t.storage.lockOffHint}</p>}
    </form>
  );
}
