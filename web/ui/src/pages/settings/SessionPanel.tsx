import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useLogout } from '~/api/actions';
import { useSession } from '~/api/queries';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Panel } from '~/parts/Panel';
import { useToasts } from '~/parts/Toasts';

export function SessionPanel() {
  const { t } = useWords();
  const client = useQueryClient();
  const navigate = useNavigate();
  const session = useSession();
  const logout = useLogout();
  const { failed } = useToasts();
  const leave = () =>
    logout.mutate(undefined, {
      onSuccess: async () => {
        await navigate({ to: '/login' });
        client.clear();
      },
      onError: failed,
    });
  return (
    <Panel title={t.admin.session} aside={session.data && t.admin.loggedInAs(session.data.name)}>
      <ChangeButton loading={logout.isPending} onClick={leave}>
        {t.admin.logout}
      </ChangeButton>
    </Panel>
  );
}
