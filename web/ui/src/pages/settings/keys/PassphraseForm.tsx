import { Button, Modal, PasswordInput, TextInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useAddPassphrase, useChangePassphrase } from '~/api/actions';
import type { SlotView } from '~/api/types';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';
import { Left, useLeft } from './Left';

interface Props {
  opened: boolean;
  /** The passphrase to change; absent, one is added. */
  slot?: SlotView;
  onClose: () => void;
}

export function PassphraseForm({ opened, slot, onClose }: Props) {
  const { t } = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={slot ? t.keys.changeOf(slot.name || slot.id) : t.keys.addPassphrase}
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      <Form slot={slot} onClose={onClose} />
    </Modal>
  );
}

function Form({ slot, onClose }: Omit<Props, 'opened'>) {
  const { t } = useWords();
  const [add, change] = [useAddPassphrase(), useChangePassphrase()];
  const act = slot ? change : add;
  const left = useLeft(onClose, slot ? t.keys.passphraseChanged : t.keys.passphraseAdded);
  const [name, setName] = useState('');
  const [passphrase, setPassphrase] = useState('');
  const [again, setAgain] = useState('');
  const [password, setPassword] = useState('');
  const differs = again !== '' && again !== passphrase;
  if (left.problems) return <Left problems={left.problems} onClose={onClose} />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (again !== passphrase) return;
    if (slot) change.mutate({ id: slot.id, passphrase, password }, { onSuccess: left.done });
    else add.mutate({ name: name.trim(), passphrase, password }, { onSuccess: left.done });
  };
  return (
    <form onSubmit={submit} className="page">
      {slot ? (
        <p className="dim small">{t.keys.changeHint}</p>
      ) : (
        <TextInput
          label={t.keys.whose}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={64}
          autoComplete="off"
          required
          data-autofocus
        />
      )}
      <PasswordInput
        label={t.keys.passphrase}
        description={t.keys.passphraseHint}
        value={passphrase}
        onChange={(event) => setPassphrase(event.currentTarget.value)}
        minLength={12}
        autoComplete="new-password"
        required
      />
      <PasswordInput
        label={t.keys.passphraseAgain}
        value={again}
        onChange={(event) => setAgain(event.currentTarget.value)}
        error={differs && t.keys.passphraseDiffers}
        autoComplete="new-password"
        required
      />
      <PasswordInput
        label={t.keys.yourPassword}
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
        autoComplete="current-password"
        required
      />
      {act.isError && <Failure error={act.error} />}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onClick={onClose}>{t.common.cancel}</Button>
        <ChangeButton type="submit" variant="filled" loading={act.isPending}>
          {slot ? t.keys.change : t.common.add}
        </ChangeButton>
      </div>
    </form>
  );
}
