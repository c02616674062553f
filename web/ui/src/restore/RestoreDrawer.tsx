import { Drawer } from '@mantine/core';
import { useState } from 'react';
import { useSnapshots } from '~/api/queries';
import type { JobView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Empty } from '~/parts/Notice';
import { RestoreForm } from './RestoreForm';
import type { Wish } from './RestoreProvider';
import { RestoreRunning } from './RestoreRunning';

interface Props {
  wish: Wish;
  opened: boolean;
  onClose: () => void;
  /** It is off the screen. */
  onGone: () => void;
}

/** From what, what, where to, what will happen: one look, one button. */
export function RestoreDrawer({ wish, opened, onClose, onGone }: Props) {
  const { t } = useWords();
  return (
    <Drawer
      opened={opened}
      onClose={onClose}
      onExitTransitionEnd={onGone}
      returnFocus={false}
      title={t.restore.title(wish.app.name)}
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      {opened && <Content key={`${wish.app.id}/${wish.snapshot ?? ''}`} wish={wish} />}
    </Drawer>
  );
}

function Content({ wish }: { wish: Wish }) {
  const { t } = useWords();
  const snapshots = useSnapshots(wish.app.id);
  const [job, setJob] = useState<JobView | null>(null);
  if (job) return <RestoreRunning first={job} />;
  return (
    <Await of={snapshots} skeleton={6}>
      {(all) => {
        const wanted = pick(all, wish.snapshot);
        if (!wanted) return <Empty title={t.restore.empty}>{t.restore.emptyHint}</Empty>;
        return <RestoreForm app={wish.app} snapshots={all} first={wanted} onStarted={setJob} />;
      }}
    </Await>
  );
}

const pick = (all: SnapshotView[], id: string | undefined) => all.find((each) => each.id === id) ?? all.at(-1);
