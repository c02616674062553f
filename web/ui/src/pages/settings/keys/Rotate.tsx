import { Button, Modal, PasswordInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useRotateEpoch, useRotateRecovery } from '~/api/actions';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { KitConfirm } from '~/parts/kit/KitConfirm';
import { KitSheet } from '~/parts/kit/KitSheet';
import { Notice } from '~/parts/Notice';
import { Failure, ProblemList } from '~/parts/Problems';

interface Props {
  what: 'recovery' | 'epoch';
  opened: boolean;
  onClose: () => void;
}

/** New keys and the new kit, which must be stored before the window is closed. */
export function Rotate({ what, opened, onClose }: Props) {
  const { t } = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={what === 'epoch' ? t.keys.newEpoch : t.keys.newKit}
      size="lg"
      closeOnClickOutside={false}
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      <Form what={what} onClose={onClose} />
    </Modal>
  );
}

function Form({ what, onClose }: Omit<Props, 'opened'>) {
  const { t } = useWords();
  const [epoch, recovery] = [useRotateEpoch(), useRotateRecovery()];
  const act = what === 'epoch' ? epoch : recovery;
  const [password, setPassword] = useState('');
  if (act.data) {
    const { kit, problems } = act.data;
    return (
      <div className="page">
        <Notice tone="warn" live title={t.keys.renewed} />
        {problems.length > 0 && <ProblemList problems={problems} />}
        {kit && <KitSheet kit={kit} />}
        {kit && <KitConfirm text={kit.text} onDone={onClose} />}
      </div>
    );
  }
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act.mutate(password);
  };
  return (
    <form onSubmit={submit} className="page">
      <p>{what === 'epoch' ? t.keys.epochHint : t.keys.kitHint}</p>
      {what === 'epoch' && <Notice tone="warn" title={t.keys.epochWarn} />}
      <PasswordInput
        label={t.keys.yourPassword}
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
        autoComplete="current-password"
        required
        data-autofocus
      />
      {act.isError && <Failure error={act.error} />}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onClick={onClose}>{t.common.cancel}</Button>
        <ChangeButton type="submit" variant="filled" color="red" loading={act.isPending}>
          {t.keys.makeNew}
        </ChangeButton>
      </div>
    </form>
  );
}
