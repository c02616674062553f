import { Checkbox, FileInput, Textarea } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useEnrol } from '~/api/actions';
import { asProblem } from '~/api/client';
import { useWords } from '~/i18n';
import { parseBundle } from '~/lib/bundle';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

/** Takes a provider's bundle as a file or as text. */
export function BundleForm({ onDone }: { onDone: () => void }) {
  const { t } = useWords();
  const [text, setText] = useState('');
  const [leaveBehind, setLeaveBehind] = useState(false);
  const enrol = useEnrol();
  const { done } = useToasts();
  const bundle = parseBundle(text);
  const read = (file: File | null) => void file?.text().then(setText);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!bundle) return;
    enrol.mutate({ bundle, leaveBehind }, {
      onSuccess: ({ provider, tenant }) => {
        done(t.entry.enrolled(provider, tenant));
        onDone();
      },
    });
  };
  return (
    <form onSubmit={submit} className="page">
      <FileInput label={t.entry.bundleFile} description={t.entry.bundleHint} onChange={read} clearable={false} />
      <Textarea
        label={t.entry.bundleText}
        autosize
        minRows={3}
        maxRows={8}
        spellCheck={false}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        error={text !== '' && !bundle && t.entry.bundleBad}
      />
      {enrol.isError && <Failure error={enrol.error} />}
      {((enrol.isError && asProblem(enrol.error).code === 'bucket.only_copy') || leaveBehind) && (
        <Checkbox
          label={t.storage.leaveBehind}
          checked={leaveBehind}
          onChange={(event) => setLeaveBehind(event.currentTarget.checked)}
        />
      )}
      <div>
        <ChangeButton type="submit" variant="filled" disabled={!bundle} loading={enrol.isPending}>
          {t.entry.enrol}
        </ChangeButton>
      </div>
    </form>
  );
}
