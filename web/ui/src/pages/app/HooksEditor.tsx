import { Button, Checkbox, Modal, NumberInput, Textarea, TextInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useSetHooks } from '~/api/actions';
import type { AppView, ServiceHooksView } from '~/api/types';
import { useWords } from '~/i18n';
import { HOOK_COMMANDS, hooksToSend } from '~/lib/hooks';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

interface Props {
  app: AppView;
  service: ServiceHooksView | null;
  onClose: () => void;
}

/** Sets the commands of one service; what stays empty is as its labels say. */
export function HooksEditor({ app, service, onClose }: Props) {
  const { t } = useWords();
  return (
    <Modal
      opened={service !== null}
      onClose={onClose}
      title={service && t.apps.hooks.editOf(service.service)}
      size="lg"
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      {service && <Form key={service.service} app={app} service={service} onClose={onClose} />}
    </Modal>
  );
}

function Form({ app, service, onClose }: { app: AppView; service: ServiceHooksView; onClose: () => void }) {
  const { t } = useWords();
  const save = useSetHooks();
  const { done } = useToasts();
  const [set, change] = useState(service.set);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate(
      { host: app.host, app: app.name, service: service.service, hooks: hooksToSend(set) },
      {
        onSuccess: () => {
          done(t.apps.hooks.saved);
          onClose();
        },
      },
    );
  };
  return (
    <form onSubmit={submit} className="page">
      <p className="dim small">{t.apps.hooks.rule}</p>
      {HOOK_COMMANDS.map((kind) => (
        <div key={kind}>
          <Textarea
            label={t.apps.hooks.kind[kind]}
            description={t.apps.hooks.when[kind]}
            placeholder={service.labels[kind] ?? undefined}
            value={set[kind] ?? ''}
            onChange={(event) => change({ ...set, [kind]: event.currentTarget.value || null })}
            disabled={set[kind] === ''}
            autosize
            minRows={1}
            maxRows={8}
            autoComplete="off"
            spellCheck={false}
          />
          {(service.labels[kind] || set[kind] === '') && (
            <Checkbox
              mt={6}
              label={t.apps.hooks.off(t.apps.hooks.kind[kind])}
              checked={set[kind] === ''}
              onChange={(event) => change({ ...set, [kind]: event.currentTarget.checked ? '' : null })}
            />
          )}
        </div>
      ))}
      <div className="row" style={{ alignItems: 'flex-end' }}>
        <TextInput
          label={t.apps.hooks.kind.user}
          placeholder={service.labels.user ?? t.apps.hooks.ownUser}
          value={set.user ?? ''}
          onChange={(event) => change({ ...set, user: event.currentTarget.value || null })}
          autoComplete="off"
        />
        <NumberInput
          label={t.apps.hooks.seconds}
          description={t.apps.hooks.secondsHint}
          placeholder={service.labels.timeout_seconds === null ? undefined : String(service.labels.timeout_seconds)}
          value={set.timeout_seconds ?? ''}
          onChange={(value) => change({ ...set, timeout_seconds: value === '' ? null : Number(value) })}
          min={1}
          max={86_400}
          allowDecimal={false}
        />
      </div>
      {save.isError && <Failure error={save.error} />}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onClick={onClose}>{t.common.cancel}</Button>
        <ChangeButton type="submit" variant="filled" loading={save.isPending}>
          {t.common.save}
        </ChangeButton>
      </div>
    </form>
  );
}
