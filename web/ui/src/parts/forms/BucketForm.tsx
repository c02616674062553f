import { Checkbox } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useAttachBucket } from '~/api/actions';
import { asProblem } from '~/api/client';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';
import { BucketFields, bucketRequest, EMPTY_BUCKET } from './BucketFields';

/** Tries a bucket and attaches it. */
export function BucketForm({ onDone }: { onDone: () => void }) {
  const { t } = useWords();
  const [draft, setDraft] = useState(EMPTY_BUCKET);
  const attach = useAttachBucket();
  const { done } = useToasts();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    attach.mutate(bucketRequest(draft), {
      onSuccess: () => {
        done(t.entry.attached);
        onDone();
      },
    });
  };
  return (
    <form onSubmit={submit} className="page">
      <BucketFields value={draft} onChange={setDraft} />
      {attach.isError && <Failure error={attach.error} />}
      {((attach.isError && asProblem(attach.error).code === 'bucket.only_copy') || draft.leaveBehind) && (
        <Checkbox
          label={t.storage.leaveBehind}
          checked={draft.leaveBehind ?? false}
          onChange={(event) => setDraft({ ...draft, leaveBehind: event.currentTarget.checked })}
        />
      )}
      <div>
        <ChangeButton type="submit" variant="filled" loading={attach.isPending}>
          {t.entry.attach}
        </ChangeButton>
      </div>
    </form>
  );
}
