import { Button } from '@mantine/core';
import { IconBox, IconDatabase, IconDownload, IconFolder, IconFolders, IconNetwork, IconStack } from '@tabler/icons-react';
import { useSnapshot, useSnapshots } from '~/api/queries';
import type { AppView, ContentView, SnapshotDetail } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { DataTable } from '~/parts/DataTable';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';
import { ProblemList } from '~/parts/Problems';

const KINDS = ['container', 'image', 'volume', 'bind', 'database', 'network'] as const;
const ICONS = {
  container: IconBox,
  image: IconStack,
  volume: IconFolders,
  bind: IconFolder,
  database: IconDatabase,
  network: IconNetwork,
};

/** What is in a restore point, and as plainly what is not. */
export function ContentsTab({ app, point }: { app: AppView; point?: string }) {
  const { t } = useWords();
  const snapshots = useSnapshots(app.id);
  const id = snapshots.data?.find((each) => each.id === point)?.id ?? snapshots.data?.at(-1)?.id;
  const detail = useSnapshot(id);
  if (snapshots.data?.length === 0) {
    return (
      <Panel>
        <Empty title={t.apps.contentsNone}>{t.apps.contentsNoneHint}</Empty>
      </Panel>
    );
  }
  return (
    <Await of={id === undefined ? (snapshots as unknown as typeof detail) : detail} skeleton={6}>
      {(data) => ('contents' in data ? <Contents detail={data} /> : null)}
    </Await>
  );
}

function Contents({ detail: { snapshot, contents, engine } }: { detail: SnapshotDetail }) {
  const { t, f } = useWords();
  const aside = `${engine.product} ${engine.version} · ${engine.platform} · ${t.common.fidelity[snapshot.fidelity]}`;
  return (
    <div className="page">
      {snapshot.problems.length > 0 && (
        <Panel title={t.apps.leftOut}>
          <ProblemList problems={snapshot.problems} />
        </Panel>
      )}
      <Panel title={t.apps.contentsAt(f.moment(snapshot.time))} aside={aside} flush>
        <DataTable label={t.apps.contents} heads={[t.common.name, t.common.details, t.apps.colSize, t.apps.captured]}>
          {KINDS.flatMap((kind) => contents.filter((part) => part.kind === kind)).map((part) => (
            <Row key={`${part.kind}/${part.name}`} part={part} />
          ))}
        </DataTable>
      </Panel>
      <Panel title={t.apps.composeTitle} quiet>
        <p className="dim small">{t.apps.composeHint}</p>
        <Button
          leftSection={<IconDownload size={15} aria-hidden />}
          renderRoot={(props) => <a href={`/api/v1/snapshots/${encodeURIComponent(snapshot.id)}/compose`} download {...props} />}
        >
          {t.apps.composeGet}
        </Button>
      </Panel>
    </div>
  );
}

function Row({ part }: { part: ContentView }) {
  const { t, f } = useWords();
  const kind = KINDS.find((each) => each === part.kind) ?? 'container';
  const Icon = ICONS[kind];
  return (
    <tr>
      <td>
        <span className="row" style={{ flexWrap: 'nowrap' }}>
          <Icon size={17} color="var(--hf-dim)" style={{ flex: 'none' }} aria-hidden />
          <span>
            <strong style={{ overflowWrap: 'anywhere' }}>{part.name}</strong>
            <div className="dim">{t.apps.kind[kind]}</div>
          </span>
        </span>
      </td>
      <td className="dim">{part.detail}</td>
      <td className="numbers">{part.bytes !== null ? f.bytes(part.bytes) : '—'}</td>
      <td>
        <Pill tone={part.captured ? 'good' : 'warn'}>{part.captured ? t.apps.captured : t.apps.notCaptured}</Pill>
      </td>
    </tr>
  );
}
