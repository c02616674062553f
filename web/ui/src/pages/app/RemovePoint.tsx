import { useRemoveSnapshot } from '~/api/actions';
import type { AppView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Confirm } from '~/parts/Confirm';
import { useToasts } from '~/parts/Toasts';

interface Props {
  app: AppView;
  snapshot: SnapshotView | null;
  onClose: () => void;
}

/** Deleting a restore point asks for the app's name: it cannot be taken back. */
export function RemovePoint({ app, snapshot, onClose }: Props) {
  const { t, f } = useWords();
  const remove = useRemoveSnapshot();
  const { done } = useToasts();
  const close = () => {
    remove.reset();
    onClose();
  };
  const confirm = () => {
    if (!snapshot) return;
    remove.mutate(snapshot.id, {
      onSuccess: () => {
        done(t.apps.removed);
        close();
      },
    });
  };
  return (
    <Confirm
      opened={snapshot !== null}
      onClose={close}
      title={t.apps.remove}
      act={t.apps.remove}
      word={app.name}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={confirm}
    >
      {snapshot && t.apps.removeHint(f.moment(snapshot.time))}
    </Confirm>
  );
}
