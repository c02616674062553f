import { ActionIcon } from '@mantine/core';
import { IconCloudDownload } from '@tabler/icons-react';
import { useWarm } from '~/api/actions';
import { useLink } from '~/api/link';
import type { SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { canComeBack } from '~/lib/cache';
import { ChangeButton } from '~/parts/ChangeButton';
import { useToasts } from '~/parts/Toasts';

/** Brings a restore point that the bucket holds into the cache; nothing where there is nothing to bring. */
export function BringBack({ snapshot, small }: { snapshot: SnapshotView; small?: boolean }) {
  const { t, f } = useWords();
  const { up } = useLink();
  const warm = useWarm();
  const { done, failed } = useToasts();
  if (!canComeBack(snapshot.state)) return null;
  const start = () => warm.mutate(snapshot.id, { onSuccess: () => done(t.apps.warmStarted), onError: failed });
  if (small) {
    return (
      <ActionIcon
        aria-label={`${t.apps.warm}: ${f.moment(snapshot.time)}`}
        disabled={!up}
        loading={warm.isPending}
        onClick={start}
      >
        <IconCloudDownload size={16} aria-hidden />
      </ActionIcon>
    );
  }
  return (
    <ChangeButton
      leftSection={<IconCloudDownload size={17} aria-hidden />}
      loading={warm.isPending}
      onClick={start}
    >
      {t.apps.warm}
    </ChangeButton>
  );
}
