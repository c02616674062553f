import { ActionIcon } from '@mantine/core';
import { IconTrash } from '@tabler/icons-react';
import { useRemoveSnapshot } from '~/api/actions';
import { useLink } from '~/api/link';
import type { AppView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Confirm } from '~/parts/Confirm';
import { useToasts } from '~/parts/Toasts';

/** The bin at the end of a restore point's row. */
export function RemoveButton({ label, onClick }: { label: string; onClick: () => void }) {
  const { up } = useLink();
  return (
    <ActionIcon aria-label={label} disabled={!up} onClick={onClick}>
      <IconTrash size={16} aria-hidden />
    </ActionIcon>
  );
}

interface Props {
  app: AppView;
  snapshot: SnapshotView | null;
  /** For good; else it can be brought back for a while. */
  now?: boolean;
  onClose: () => void;
}

/** Deleting a restore point asks for the app's name: whoever does not notice within a week has lost it. */
export function RemovePoint({ app, snapshot, now = false, onClose }: Props) {
  const { t, f } = useWords();
  const words = now
    ? { act: t.apps.removeNow, hint: t.apps.removeNowHint, done: t.apps.removedNow }
    : { act: t.apps.remove, hint: t.apps.removeHint, done: t.apps.removed };
  const remove = useRemoveSnapshot();
  const { done } = useToasts();
  const close = () => {
    remove.reset();
    onClose();
  };
  const confirm = () => {
    if (!snapshot) return;
    remove.mutate({ id: snapshot.id, now }, {
      onSuccess: () => {
        done(words.done);
        close();
      },
    });
  };
  return (
    <Confirm
      opened={snapshot !== null}
      onClose={close}
      title={words.act}
      act={words.act}
      word={app.name}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={confirm}
    >
      {snapshot && words.hint(f.moment(snapshot.time))}
    </Confirm>
  );
}
