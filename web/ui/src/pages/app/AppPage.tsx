import { Button, Tabs } from '@mantine/core';
import { IconHistory, IconPlayerPlay } from '@tabler/icons-react';
import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useApp } from '~/api/queries';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { appTone, canBackUp, canRestore } from '~/lib/apps';
import { useNow } from '~/lib/now';
import { BackUpButton } from '~/parts/apps/BackUpButton';
import { Await } from '~/parts/Await';
import { Pill } from '~/parts/Pill';
import { Title } from '~/parts/Title';
import { useRestore } from '~/restore/RestoreProvider';
import { ContentsTab } from './ContentsTab';
import { FilesTab } from './files/FilesTab';
import { JobsTab } from './JobsTab';
import { PointsTab } from './PointsTab';
import { PolicyTab } from './PolicyTab';

const TABS = ['points', 'files', 'contents', 'policy', 'jobs'] as const;
type Tab = (typeof TABS)[number];

/** One app: its restore points, what is in them, its policy and its jobs. */
export function AppPage() {
  const { host, app } = useParams({ strict: false }) as { host: string; app: string };
  const { tab, point } = useSearch({ strict: false }) as { tab?: Tab; point?: string };
  const navigate = useNavigate();
  const { t } = useWords();
  const query = useApp(host, app);
  const current = TABS.find((each) => each === tab) ?? 'points';
  const show = (next: string | null) =>
    void navigate({ to: '.', search: { tab: next ?? undefined }, replace: true, resetScroll: false });
  return (
    <div className="page">
      <Await of={query} skeleton={4}>
        {(view) => (
          <>
            <Heading app={view} />
            <Tabs value={current} onChange={show} keepMounted={false}>
              <Tabs.List mb="md">
                {TABS.map((each) => (
                  <Tabs.Tab key={each} value={each}>
                    {t.apps.tabs[each]}
                  </Tabs.Tab>
                ))}
              </Tabs.List>
              <Tabs.Panel value="points">
                <PointsTab app={view} />
              </Tabs.Panel>
              <Tabs.Panel value="files">
                <FilesTab app={view} />
              </Tabs.Panel>
              <Tabs.Panel value="contents">
                <ContentsTab app={view} point={point} />
              </Tabs.Panel>
              <Tabs.Panel value="policy">
                <PolicyTab app={view} />
              </Tabs.Panel>
              <Tabs.Panel value="jobs">
                <JobsTab app={view} />
              </Tabs.Panel>
            </Tabs>
          </>
        )}
      </Await>
    </div>
  );
}

function Heading({ app }: { app: AppView }) {
  const { t, f } = useWords();
  const { open } = useRestore();
  const now = useNow();
  return (
    <Title
      text={app.name}
      actions={
        <>
          <BackUpButton
            apps={[app.id]}
            disabled={!canBackUp(app)}
            leftSection={<IconPlayerPlay size={17} aria-hidden />}
          >
            {t.apps.backUp}
          </BackUpButton>
          <Button
            variant="filled"
            disabled={!canRestore(app)}
            leftSection={<IconHistory size={17} aria-hidden />}
            onClick={() => open({ app })}
          >
            {t.shell.restore}
          </Button>
        </>
      }
    >
      <Pill tone={appTone(app.state)}>{t.apps.state[app.state]}</Pill>
      <span className="dim small">
        {[
          app.host,
          t.common.containers(f.number(app.containers), app.containers),
          app.bytes_logical !== null && f.bytes(app.bytes_logical),
          app.last_backup && t.overview.lastBackup(f.ago(app.last_backup, now)),
        ]
          .filter(Boolean)
          .join(' · ')}
      </span>
      {app.reason && <span className="dim small">{app.reason}</span>}
    </Title>
  );
}
