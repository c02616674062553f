import { Button, Modal, Textarea, TextInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useAddHost } from '~/api/actions';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

const EMPTY = { name: '', url: '', tls_ca: '', tls_cert: '', tls_key: '', ssh_key: '', ssh_known_hosts: '' };
type Field = keyof typeof EMPTY;

/** The appliance tries the host before it takes it. */
export function AddHost({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { t } = useWords();
  return (
    <Modal opened={opened} onClose={onClose} title={t.admin.addHost} closeButtonProps={{ 'aria-label': t.common.close }}>
      <Form onClose={onClose} />
    </Modal>
  );
}

function Form({ onClose }: { onClose: () => void }) {
  const { t } = useWords();
  const add = useAddHost();
  const { done } = useToasts();
  const [draft, setDraft] = useState(EMPTY);
  const field = (name: Field) => ({
    value: draft[name],
    onChange: (event: { currentTarget: { value: string } }) => setDraft({ ...draft, [name]: event.currentTarget.value }),
    autoComplete: 'off',
    spellCheck: false,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const pem = (name: Field) => draft[name].trim() || null;
    add.mutate(
      {
        name: draft.name.trim(),
        url: draft.url.trim(),
        tls_ca: pem('tls_ca'),
        tls_cert: pem('tls_cert'),
        tls_key: pem('tls_key'),
        ssh_key: pem('ssh_key'),
        ssh_known_hosts: pem('ssh_known_hosts'),
      },
      {
        onSuccess: () => {
          done(t.admin.hostAdded);
          onClose();
        },
      },
    );
  };
  return (
    <form onSubmit={submit} className="page">
      <TextInput label={t.common.name} description={t.admin.nameRule} required data-autofocus {...field('name')} />
      <TextInput label={t.admin.hostUrl} description={t.admin.hostUrlHint} required {...field('url')} />
      <details>
        <summary className="small">{t.admin.tls}</summary>
        <div className="stack" style={{ marginTop: '0.5rem' }}>
          <p className="dim small">{t.admin.tlsHint}</p>
          <Textarea label={t.admin.tlsCa} autosize minRows={2} maxRows={6} {...field('tls_ca')} />
          <Textarea label={t.admin.tlsCert} autosize minRows={2} maxRows={6} {...field('tls_cert')} />
          <Textarea label={t.admin.tlsKey} autosize minRows={2} maxRows={6} {...field('tls_key')} />
        </div>
      </details>
      <details>
        <summary className="small">{t.admin.ssh}</summary>
        <div className="stack" style={{ marginTop: '0.5rem' }}>
          <p className="dim small">{t.admin.sshHint}</p>
          <Textarea label={t.admin.sshKey} autosize minRows={2} maxRows={6} {...field('ssh_key')} />
          <Textarea label={t.admin.sshKnownHosts} autosize minRows={2} maxRows={6} {...field('ssh_known_hosts')} />
        </div>
      </details>
      {add.isError && <Failure error={add.error} />}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onClick={onClose}>{t.common.cancel}</Button>
        <ChangeButton type="submit" variant="filled" loading={add.isPending}>
          {t.admin.testAndAdd}
        </ChangeButton>
      </div>
    </form>
  );
}
