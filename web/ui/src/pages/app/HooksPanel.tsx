import { Button, Code } from '@mantine/core';
import { IconPencil } from '@tabler/icons-react';
import { useState, type ReactNode } from 'react';
import { useSetHooks } from '~/api/actions';
import { useHooks } from '~/api/queries';
import type { AppView, ServiceHooksView } from '~/api/types';
import { useWords } from '~/i18n';
import { HOOK_COMMANDS, saidBy } from '~/lib/hooks';
import { Await } from '~/parts/Await';
import { ChangeButton } from '~/parts/ChangeButton';
import { Facts } from '~/parts/Facts';
import { Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { useToasts } from '~/parts/Toasts';
import { HooksEditor } from './HooksEditor';

/** What runs inside the containers around a backup, who says so, and a way to set it. */
export function HooksPanel({ app }: { app: AppView }) {
  const { t } = useWords();
  const hooks = useHooks(app.host, app.name);
  const [edited, edit] = useState<ServiceHooksView | null>(null);
  return (
    <Panel title={t.apps.hooks.title}>
      <p className="dim small" style={{ marginBottom: '0.9rem' }}>
        {t.apps.hooks.hint}
      </p>
      <Await of={hooks} skeleton={3}>
        {({ services, error }) => (
          <div className="page">
            {error !== null && <Notice tone="warn" title={t.apps.hooks.unread}>{error}</Notice>}
            {services.map((service) => (
              <Service key={service.service} app={app} service={service} known={error === null} onEdit={() => edit(service)} />
            ))}
          </div>
        )}
      </Await>
      <HooksEditor app={app} service={edited} onClose={() => edit(null)} />
    </Panel>
  );
}

interface Props {
  app: AppView;
  service: ServiceHooksView;
  /** What the app has now is known. */
  known: boolean;
  onEdit: () => void;
}

function Service({ app, service, known, onEdit }: Props) {
  const { t, f } = useWords();
  const save = useSetHooks();
  const { done, failed } = useToasts();
  const takeAway = () =>
    save.mutate(
      { host: app.host, app: app.name, service: service.service, hooks: null },
      { onSuccess: () => done(t.apps.hooks.saved), onError: failed },
    );
  const { effective } = service;
  const any = HOOK_COMMANDS.some((kind) => effective[kind] !== null);
  const facts = HOOK_COMMANDS.flatMap((kind): [string, ReactNode][] => {
    const says = saidBy(service, kind);
    if (says === null) return [];
    const command = effective[kind] !== null && <Code>{effective[kind]}</Code>;
    return [[t.apps.hooks.kind[kind], <>{command} <span className="dim small">{t.apps.hooks.said[says]}</span></>]];
  });
  return (
    <section aria-label={service.service}>
      <div className="row" style={{ justifyContent: 'space-between' }}>
        <strong>{service.service}</strong>
        {known && !service.present ? (
          <ChangeButton size="compact-sm" loading={save.isPending} onClick={takeAway}>
            {t.apps.hooks.takeAway}
          </ChangeButton>
        ) : (
          <Button
            size="compact-sm"
            leftSection={<IconPencil size={15} aria-hidden />}
            aria-label={t.apps.hooks.editOf(service.service)}
            disabled={!known}
            onClick={onEdit}
          >
            {t.apps.hooks.edit}
          </Button>
        )}
      </div>
      {known && !service.present && <p className="small">{t.apps.hooks.gone}</p>}
      {facts.length === 0 && <p className="dim small">{t.apps.hooks.none}</p>}
      <Facts
        facts={[
          ...facts,
          [t.apps.hooks.kind.user, any && effective.user],
          [t.apps.hooks.kind.timeout, any && effective.timeout_seconds !== null && f.duration(effective.timeout_seconds)],
        ]}
      />
    </section>
  );
}
