import { ActionIcon, Button, Menu } from '@mantine/core';
import { IconDots, IconExternalLink, IconEye, IconPlayerPlay } from '@tabler/icons-react';
import { useNavigate } from '@tanstack/react-router';
import { useAssign, useBackUp } from '~/api/actions';
import { useLink } from '~/api/link';
import { usePolicies } from '~/api/queries';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { canBackUp, canRestore } from '~/lib/apps';
import { ChangeButton } from '~/parts/ChangeButton';
import { useToasts } from '~/parts/Toasts';
import { useRestore } from '~/restore/RestoreProvider';
import css from './AppsTable.module.css';

/** What can be done with an app: restore or protect at hand, the rest in a menu. */
export function AppActs({ app, onShow }: { app: AppView; onShow?: (id: string) => void }) {
  const { t } = useWords();
  const { open } = useRestore();
  return (
    <div className={css.acts}>
      {canRestore(app) ? (
        <Button size="compact-sm" onClick={() => open({ app })} aria-label={t.apps.restoreOf(app.name)}>
          {t.apps.restore}
        </Button>
      ) : (
        <ProtectMenu app={app} />
      )}
      <MoreMenu app={app} onShow={onShow} />
    </div>
  );
}

function ProtectMenu({ app }: { app: AppView }) {
  const { t, interval } = useWords();
  const { data: policies = [] } = usePolicies();
  const assign = useAssign();
  const { done, failed } = useToasts();
  if (app.policy !== null) return null;
  const choose = (policy: string) =>
    assign.mutate({ host: app.host, name: app.name, policy }, { onSuccess: () => done(t.apps.assigned), onError: failed });
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ChangeButton size="compact-sm" loading={assign.isPending} aria-label={t.apps.protectWith(app.name)}>
          {t.apps.protect}
        </ChangeButton>
      </Menu.Target>
      <Menu.Dropdown>
        {policies.map(({ policy }) => (
          <Menu.Item key={policy.name} onClick={() => choose(policy.name)}>
            {policy.name} · {interval(policy.every_seconds)}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function MoreMenu({ app, onShow }: { app: AppView; onShow?: (id: string) => void }) {
  const { t } = useWords();
  const { up } = useLink();
  const navigate = useNavigate();
  const backUp = useBackUp();
  const { done, failed } = useToasts();
  const start = () => backUp.mutate([app.id], { onSuccess: () => done(t.apps.started), onError: failed });
  const show = () => void navigate({ to: '/apps/$host/$app', params: { host: app.host, app: app.name } });
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon aria-label={t.common.more(app.name)}>
          <IconDots size={17} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<IconPlayerPlay size={16} />} disabled={!up || !canBackUp(app)} onClick={start}>
          {t.apps.backUp}
        </Menu.Item>
        <Menu.Item leftSection={<IconExternalLink size={16} />} onClick={show}>
          {t.apps.open}
        </Menu.Item>
        {onShow && canRestore(app) && (
          <Menu.Item leftSection={<IconEye size={16} />} onClick={() => onShow(app.id)}>
            {t.apps.show}
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}
