import { Button, TextInput } from '@mantine/core';
import { IconSearch } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useApps } from '~/api/queries';
import { useWords } from '~/i18n';
import { byHost, matches } from '~/lib/apps';
import { AppsTable } from '~/parts/apps/AppsTable';
import { Await } from '~/parts/Await';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Title } from '~/parts/Title';

/** Every app on every host, protected or not. */
export function Apps() {
  const { t } = useWords();
  const apps = useApps();
  const [words, setWords] = useState('');
  return (
    <div className="page">
      <Title
        text={t.apps.title}
        actions={
          <TextInput
            w={{ base: '100%', xs: 300 }}
            type="search"
            leftSection={<IconSearch size={16} aria-hidden />}
            aria-label={t.apps.filter}
            placeholder={t.apps.filter}
            value={words}
            onChange={(event) => setWords(event.currentTarget.value)}
          />
        }
      />
      <Await of={apps} skeleton={6}>
        {(all) => {
          const groups = byHost(all.filter((app) => matches(app, words)));
          if (groups.length === 0) return <NothingFound any={all.length > 0} clear={() => setWords('')} />;
          return groups.map(([host, list]) => (
            <Panel key={host} title={host} flush aside={<Count number={list.length} />}>
              <AppsTable apps={list} />
            </Panel>
          ));
        }}
      </Await>
    </div>
  );
}

function Count({ number }: { number: number }) {
  const { t, f } = useWords();
  return <>{t.common.apps(f.number(number), number)}</>;
}

function NothingFound({ any, clear }: { any: boolean; clear: () => void }) {
  const { t } = useWords();
  return (
    <Panel>
      {any ? (
        <Empty title={t.apps.filterNone} action={<Button onClick={clear}>{t.apps.clearFilter}</Button>} />
      ) : (
        <Empty
          title={t.overview.noApps}
          action={<Button renderRoot={(props) => <Link to="/hosts" {...props} />}>{t.admin.addHost}</Button>}
        >
          {t.overview.noAppsHint}
        </Empty>
      )}
    </Panel>
  );
}
