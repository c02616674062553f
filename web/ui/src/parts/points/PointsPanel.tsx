import { Button } from '@mantine/core';
import { IconFileDescription, IconHistory } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { useSnapshots } from '~/api/queries';
import type { AppView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { MOST_COLUMNS, spanDays } from '~/lib/lanes';
import { Await } from '~/parts/Await';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';
import { useRestore } from '~/restore/RestoreProvider';
import { BringBack } from './BringBack';
import { Lanes } from './Lanes';
import css from './Lanes.module.css';

/** The restore points of one app in lanes, and what can be done with the chosen one. */
export function PointsPanel({ app, inside }: { app: AppView; inside?: boolean }) {
  const { t, f } = useWords();
  const snapshots = useSnapshots(app.id);
  const [chosen, choose] = useState<string | null>(null);
  const all = snapshots.data ?? [];
  const shown = all.slice(-MOST_COLUMNS);
  const selected = shown.find((each) => each.id === chosen) ?? shown.at(-1);
  const days = spanDays(shown);
  return (
    <Panel
      title={inside ? t.apps.restorePoints : t.apps.pointsOf(app.name)}
      aside={all.length > 0 && t.apps.span(f.number(days), days, f.number(shown.length), f.number(all.length))}
    >
      <Await of={snapshots} skeleton={3}>
        {() =>
          selected ? (
            <>
              <Lanes snapshots={all} selected={selected.id} onSelect={choose} />
              <Chosen app={app} snapshot={selected} inside={inside} />
            </>
          ) : (
            <Empty title={t.apps.noPoints}>{t.apps.noPointsHint}</Empty>
          )
        }
      </Await>
    </Panel>
  );
}

function Chosen({ app, snapshot, inside }: { app: AppView; snapshot: SnapshotView; inside?: boolean }) {
  const { t, f } = useWords();
  const { open } = useRestore();
  const held = snapshot.consistency !== 'none';
  const servers = snapshot.databases.filter((each) => !each.file);
  const files = snapshot.databases.filter((each) => each.file);
  const worst = files.find((each) => each.readiness === 'live') ?? files[0];
  return (
    <div className={css.chosen}>
      <dl>
        <dt>{t.apps.selected}</dt>
        <dd>{f.moment(snapshot.time)}</dd>
      </dl>
      <dl>
        <dt>{t.apps.newData}</dt>
        <dd>
          {f.bytes(snapshot.bytes_new)} <small>{t.apps.ofLogical(f.bytes(snapshot.bytes_logical))}</small>
        </dd>
      </dl>
      <Pill tone={held ? 'good' : 'calm'}>{t.common.reached[snapshot.consistency]}</Pill>
      {servers.map((each) => (
        <Pill key={`${each.container}/${each.kind}`} tone={each.readiness === 'live' ? 'warn' : 'good'}>
          {t.common.databaseKind[each.kind]}: {t.common.readiness[each.readiness]}
        </Pill>
      ))}
      {worst && (
        <Pill tone={worst.readiness === 'live' ? 'warn' : 'good'}>
          {t.common.databaseKind[worst.kind]}
          {files.length > 1 && ` × ${f.number(files.length)}`}: {t.common.readiness[worst.readiness]}
        </Pill>
      )}
      {snapshot.locked_until && <Pill tone="good">{t.apps.lockedUntil(f.moment(snapshot.locked_until))}</Pill>}
      {snapshot.problems.length > 0 && <Pill tone="warn">{t.apps.legend.problems}</Pill>}
      <div className={`row ${css.push}`}>
        {!inside && (
          <Button
            leftSection={<IconFileDescription size={17} aria-hidden />}
            renderRoot={(props) => (
              <Link
                to="/apps/$host/$app"
                params={{ host: app.host, app: app.name }}
                search={{ tab: 'contents', point: snapshot.id }}
                {...props}
              />
            )}
          >
            {t.apps.contents}
          </Button>
        )}
        <BringBack snapshot={snapshot} />
        <Button
          variant="filled"
          leftSection={<IconHistory size={17} aria-hidden />}
          onClick={() => open({ app, snapshot: snapshot.id })}
        >
          {t.apps.restore}
        </Button>
      </div>
    </div>
  );
}
