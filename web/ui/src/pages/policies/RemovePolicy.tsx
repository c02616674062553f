import { useRemovePolicy } from '~/api/actions';
import { useWords } from '~/i18n';
import { Confirm } from '~/parts/Confirm';

export function RemovePolicy({ name, onClose }: { name: string | null; onClose: () => void }) {
  const { t } = useWords();
  const remove = useRemovePolicy();
  const close = () => {
    remove.reset();
    onClose();
  };
  return (
    <Confirm
      opened={name !== null}
      onClose={close}
      title={t.admin.removePolicy(name ?? '')}
      act={t.common.remove}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => name && remove.mutate(name, { onSuccess: close })}
    >
      {t.admin.removePolicyHint}
    </Confirm>
  );
}
