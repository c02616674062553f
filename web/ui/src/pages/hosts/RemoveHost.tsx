import { useRemoveHost } from '~/api/actions';
import { useWords } from '~/i18n';
import { Confirm } from '~/parts/Confirm';
import { useToasts } from '~/parts/Toasts';

export function RemoveHost({ name, onClose }: { name: string | null; onClose: () => void }) {
  const { t } = useWords();
  const remove = useRemoveHost();
  const { done } = useToasts();
  const close = () => {
    remove.reset();
    onClose();
  };
  const confirm = () => {
    if (!name) return;
    remove.mutate(name, {
      onSuccess: () => {
        done(t.admin.hostRemoved);
        close();
      },
    });
  };
  return (
    <Confirm
      opened={name !== null}
      onClose={close}
      title={t.admin.removeHost(name ?? '')}
      act={t.common.remove}
      word={name ?? undefined}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={confirm}
    >
      {t.admin.removeHostHint}
    </Confirm>
  );
}
