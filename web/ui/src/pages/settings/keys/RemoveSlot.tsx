import { Modal } from '@mantine/core';
import { useRemoveSlot } from '~/api/actions';
import type { SlotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Confirm } from '~/parts/Confirm';
import { Left, useLeft } from './Left';

export function RemoveSlot({ slot, onClose }: { slot: SlotView | null; onClose: () => void }) {
  const { t } = useWords();
  const remove = useRemoveSlot();
  const left = useLeft(onClose, t.keys.removed);
  const title = t.keys.removeOf(slot?.name || slot?.id || '');
  if (left.problems) {
    return (
      <Modal opened={slot !== null} onClose={onClose} title={title} closeButtonProps={{ 'aria-label': t.common.close }}>
        <Left problems={left.problems} onClose={onClose} />
      </Modal>
    );
  }
  const close = () => {
    remove.reset();
    onClose();
  };
  return (
    <Confirm
      opened={slot !== null}
      onClose={close}
      title={title}
      act={t.common.remove}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => slot && remove.mutate(slot.id, { onSuccess: left.done })}
    >
      {slot?.ours === false ? t.keys.notOursHint : t.keys.removeHint}
    </Confirm>
  );
}
