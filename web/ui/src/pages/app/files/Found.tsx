import { ActionIcon, Button } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useFound } from '~/api/queries';
import type { AppView, FindView, FoundVersion, FoundView } from '~/api/types';
import { useWords } from '~/i18n';
import { contentUrl, folderOf, isFile, isFolder } from '~/lib/files';
import { Await } from '~/parts/Await';
import { DataTable } from '~/parts/DataTable';
import { Empty, Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import type { Spot } from './FilesTab';
import css from './files.module.css';

/** What a search found: each path with its versions, newest first. */
export function Found({ app, pattern, go }: { app: AppView; pattern: string; go: (next: Spot) => void }) {
  const found = useFound(app.host, app.name, pattern);
  return (
    <Await of={found} skeleton={6}>
      {(view) => <Paths view={view} go={go} />}
    </Await>
  );
}

function Paths({ view, go }: { view: FindView; go: (next: Spot) => void }) {
  const { t, f } = useWords();
  const title = t.files.found(f.number(view.found.length), view.found.length, f.number(view.snapshots), view.snapshots);
  return (
    <>
      {!view.complete && (
        <Notice tone="warn" title={t.files.notComplete}>
          {view.missing.slice(0, 10).map((line) => (
            <div key={line}>{line}</div>
          ))}
        </Notice>
      )}
      <Panel title={title} flush>
        {view.found.length === 0 ? (
          <Empty title={t.files.foundNone}>{t.files.foundNoneHint}</Empty>
        ) : (
          <DataTable label={title} heads={[t.common.name, t.files.colSize, t.files.colChanged, t.files.versions, t.files.colActions]}>
            {view.found.flatMap((path) =>
              path.versions.map((version, place) => (
                <Version key={`${path.section}/${path.path}/${place}`} path={path} version={version} go={go} />
              )),
            )}
          </DataTable>
        )}
      </Panel>
    </>
  );
}

function Version({ path, version, go }: { path: FoundView; version: FoundVersion; go: (next: Spot) => void }) {
  const { t, f } = useWords();
  const { file } = version;
  const newest = version.snapshots[0];
  if (!newest) return null;
  const inside = isFolder(file) ? path.path : folderOf(path.path);
  const show = () => go({ point: newest.id, section: path.section, path: inside });
  const place = { snapshot: newest.id, section: path.section, path: path.path };
  return (
    <tr>
      <td>
        <span className={css.text}>{path.path}</span>
        <div className="dim">{path.section}</div>
      </td>
      <td className="numbers">{file.size === null ? '—' : f.bytes(file.size)}</td>
      <td>{file.mtime ? f.moment(file.mtime) : '—'}</td>
      <td className="dim">{t.files.version(f.number(version.count), version.count, f.shortMoment(newest.time))}</td>
      <td>
        <div className="row" style={{ flexWrap: 'nowrap' }}>
          <Button size="compact-sm" aria-label={`${t.files.showIn(f.moment(newest.time))}: ${path.path}`} onClick={show}>
            {t.files.show}
          </Button>
          {(isFile(file) || isFolder(file)) && (
            <ActionIcon
              aria-label={t.files.downloadOf(file.name)}
              renderRoot={(props) => <a href={contentUrl(place)} download {...props} />}
            >
              <IconDownload size={16} aria-hidden />
            </ActionIcon>
          )}
        </div>
      </td>
    </tr>
  );
}
