import { Skeleton } from '@mantine/core';
import { IconAlertTriangle, IconCheck, IconHistory, IconPlayerPlay } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import type { UseQueryResult } from '@tanstack/react-query';
import { useState } from 'react';
import { Button } from '@mantine/core';
import type { AppView, StatusView } from '~/api/types';
import { useWords, type Words } from '~/i18n';
import { attention, canBackUp } from '~/lib/apps';
import { useNow } from '~/lib/now';
import { BackUpButton } from '~/parts/apps/BackUpButton';
import { Panel } from '~/parts/Panel';
import { Title } from '~/parts/Title';
import { AttentionList } from './AttentionList';
import css from './Overview.module.css';

/** So many rows that what needs a look would be off the screen. */
const MANY_APPS = 12;

/** One sentence on whether all is well. */
export function Headline({ status, apps }: { status: UseQueryResult<StatusView, unknown>; apps: AppView[] }) {
  const words = useWords();
  const { t } = words;
  const needy = attention(apps);
  const [open, setOpen] = useState<boolean | null>(null);
  const shown = (open ?? apps.length > MANY_APPS) && needy.length > 0;
  if (!status.data) return <Skeleton height={58} radius="md" />;
  return (
    <>
      <Title text={sentence(status.data, apps, words)} actions={<Acts apps={apps} />}>
        <NeedsAttention count={needy.length} open={shown} onToggle={() => setOpen(!shown)} />
        <LastBackup apps={apps} />
      </Title>
      {shown && (
        <Panel title={t.overview.needsAttention}>
          <AttentionList apps={needy} />
        </Panel>
      )}
    </>
  );
}

/** An app whose very first backup still runs is counted by its state, but nothing of it could be restored yet. */
function sentence(status: StatusView, apps: AppView[], { t, f }: Words): string {
  if (status.apps === 0) return t.overview.noApps;
  const unborn = apps.filter((app) => app.state === 'backing_up' && app.snapshots === 0).length;
  const covered = Math.max(0, status.protected - unborn);
  if (status.apps === covered) return t.overview.allProtected(f.number(covered), covered);
  return t.overview.headline(f.number(covered), f.number(status.apps), covered);
}

function NeedsAttention({ count, open, onToggle }: { count: number; open: boolean; onToggle: () => void }) {
  const { t, f } = useWords();
  if (count === 0) {
    return (
      <span className={css.ok}>
        <IconCheck size={16} aria-hidden />
        {t.overview.noAttention}
      </span>
    );
  }
  return (
    <button type="button" className={css['warn-button']} aria-expanded={open} onClick={onToggle}>
      <IconAlertTriangle size={16} aria-hidden />
      {t.overview.attention(f.number(count), count)}
    </button>
  );
}

function LastBackup({ apps }: { apps: AppView[] }) {
  const { t, f } = useWords();
  const now = useNow();
  const newest = apps
    .flatMap((app) => app.last_backup ?? [])
    .sort()
    .at(-1);
  if (!newest) return null;
  return (
    <span className={css.ok}>
      <IconCheck size={16} aria-hidden />
      {t.overview.lastBackup(f.ago(newest, now))}
    </span>
  );
}

function Acts({ apps }: { apps: AppView[] }) {
  const { t } = useWords();
  const ready = apps.filter((app) => canBackUp(app) && app.policy !== null).map((app) => app.id);
  return (
    <>
      <BackUpButton apps={ready} leftSection={<IconPlayerPlay size={17} aria-hidden />}>
        {t.apps.backUp}
      </BackUpButton>
      <Button
        variant="filled"
        leftSection={<IconHistory size={17} aria-hidden />}
        renderRoot={(props) => <Link to="/restore" {...props} />}
      >
        {t.shell.restore}
      </Button>
    </>
  );
}
