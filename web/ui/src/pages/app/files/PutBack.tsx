import { Button, Checkbox, Modal, TextInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { usePutFile } from '~/api/actions';
import type { SectionView } from '~/api/types';
import { useWords } from '~/i18n';
import { loggedServers, type Place } from '~/lib/files';
import { ChangeButton } from '~/parts/ChangeButton';
import { Notice } from '~/parts/Notice';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

interface Props {
  place: Place;
  part: SectionView;
  /** Path of the file or folder; null while nothing is asked. */
  path: string | null;
  onClose: () => void;
}

/** Asks where a file goes back to, and whether what is there gives way. */
export function PutBack({ place, part, path, onClose }: Props) {
  const { t } = useWords();
  const put = usePutFile();
  const { done } = useToasts();
  const [to, setTo] = useState<string | null>(null);
  const [replace, setReplace] = useState(false);
  const close = () => {
    put.reset();
    onClose();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (path === null) return;
    const body = { section: place.section, path, to: to ?? path, replace, from: 'auto' as const };
    put.mutate(
      { snapshot: place.snapshot, body },
      {
        onSuccess: () => {
          done(t.files.putStarted);
          close();
        },
      },
    );
  };
  const forget = () => {
    setTo(null);
    setReplace(false);
  };
  return (
    <Modal
      opened={path !== null}
      onClose={close}
      title={t.files.put}
      closeButtonProps={{ 'aria-label': t.common.close }}
      onExitTransitionEnd={forget}
    >
      <form onSubmit={submit} className="page">
        <p className="dim">{t.files.putHint}</p>
        {path !== null && loggedServers(part, path).map((server) => (
          <Notice key={server} tone="warn" title={t.files.putAlone(server)}>
            {t.files.putAloneHint}
          </Notice>
        ))}
        <TextInput
          label={t.files.putTo}
          value={to ?? path ?? ''}
          onChange={(event) => setTo(event.currentTarget.value)}
          autoComplete="off"
          spellCheck={false}
          data-autofocus
        />
        <Checkbox
          label={t.files.putReplace}
          description={t.files.putReplaceHint}
          checked={replace}
          onChange={(event) => setReplace(event.currentTarget.checked)}
        />
        {put.error !== null && <Failure error={put.error} />}
        <div className="row" style={{ justifyContent: 'flex-end' }}>
          <Button onClick={close}>{t.common.cancel}</Button>
          <ChangeButton type="submit" variant="filled" loading={put.isPending}>
            {t.files.put}
          </ChangeButton>
        </div>
      </form>
    </Modal>
  );
}
