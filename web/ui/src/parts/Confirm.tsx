import { Button, Modal, TextInput } from '@mantine/core';
import { useState, type FormEvent, type ReactNode } from 'react';
import { useWords } from '~/i18n';
import { ChangeButton } from './ChangeButton';
import { Failure } from './Problems';

interface Props {
  opened: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
  /** Word on the button that does it. */
  act: string;
  onConfirm: () => void;
  /** What has to be typed first. */
  word?: string;
  busy?: boolean;
  error?: unknown;
}

/** Asks before something cannot be taken back; where it destroys, the name must be typed. */
export function Confirm({ opened, onClose, title, children, act, onConfirm, word, busy, error }: Props) {
  const { t } = useWords();
  const [typed, setTyped] = useState('');
  const ready = word === undefined || typed.trim() === word;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (ready) onConfirm();
  };
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={title}
      closeButtonProps={{ 'aria-label': t.common.close }}
      onExitTransitionEnd={() => setTyped('')}
    >
      <form onSubmit={submit} className="page">
        <div>{children}</div>
        {word !== undefined && (
          <TextInput
            label={t.common.typeToConfirm(word)}
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            autoComplete="off"
            spellCheck={false}
            data-autofocus
          />
        )}
        {error !== undefined && error !== null && <Failure error={error} />}
        <div className="row" style={{ justifyContent: 'flex-end' }}>
          <Button onClick={onClose}>{t.common.cancel}</Button>
          <ChangeButton type="submit" variant="filled" color="red" disabled={!ready} loading={busy}>
            {act}
          </ChangeButton>
        </div>
      </form>
    </Modal>
  );
}
