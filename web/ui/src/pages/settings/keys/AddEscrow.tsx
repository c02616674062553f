import { Button, Checkbox, Modal, PasswordInput, Textarea, TextInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useAddEscrow } from '~/api/actions';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';
import { Left, useLeft } from './Left';

/** By consent alone: somebody says in words that another person may read everything. */
export function AddEscrow({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { t } = useWords();
  return (
    <Modal opened={opened} onClose={onClose} title={t.keys.addEscrow} closeButtonProps={{ 'aria-label': t.common.close }}>
      <Form onClose={onClose} />
    </Modal>
  );
}

function Form({ onClose }: { onClose: () => void }) {
  const { t } = useWords();
  const add = useAddEscrow();
  const left = useLeft(onClose, t.keys.escrowAdded);
  const [name, setName] = useState('');
  const [key, setKey] = useState('');
  const [agreed, setAgreed] = useState(false);
  const [password, setPassword] = useState('');
  if (left.problems) return <Left problems={left.problems} onClose={onClose} />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate({ name: name.trim(), public_key: key, password }, { onSuccess: left.done });
  };
  return (
    <form onSubmit={submit} className="page">
      <p className="small">{t.keys.escrowHint}</p>
      <TextInput
        label={t.keys.whose}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        maxLength={64}
        autoComplete="off"
        required
        data-autofocus
      />
      <Textarea
        label={t.keys.publicKey}
        description={t.keys.publicKeyHint}
        value={key}
        onChange={(event) => setKey(event.currentTarget.value)}
        autosize
        minRows={3}
        maxRows={6}
        spellCheck={false}
        classNames={{ input: 'mono' }}
        required
      />
      <Checkbox
        label={t.keys.escrowAgree}
        checked={agreed}
        onChange={(event) => setAgreed(event.currentTarget.checked)}
        required
      />
      <PasswordInput
        label={t.keys.yourPassword}
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
        autoComplete="current-password"
        required
      />
      {add.isError && <Failure error={add.error} />}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onClick={onClose}>{t.common.cancel}</Button>
        <ChangeButton type="submit" variant="filled" disabled={!agreed} loading={add.isPending}>
          {t.common.add}
        </ChangeButton>
      </div>
    </form>
  );
}
