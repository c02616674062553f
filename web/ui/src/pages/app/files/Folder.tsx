import { Button } from '@mantine/core';
import { IconChevronRight, IconDownload } from '@tabler/icons-react';
import { useState } from 'react';
import { useFolder } from '~/api/queries';
import type { FileView, SectionView } from '~/api/types';
import { useWords } from '~/i18n';
import { contentUrl, crumbs, type Place } from '~/lib/files';
import { Bones } from '~/parts/Await';
import { DataTable } from '~/parts/DataTable';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Failure } from '~/parts/Problems';
import { FileRow } from './FileRow';
import { Preview } from './Preview';
import { PutBack } from './PutBack';
import css from './files.module.css';

interface Props {
  place: Place;
  part: SectionView;
  go: (path: string) => void;
}

/** One folder, page after page as far as somebody asks. */
export function Folder({ place, part, go }: Props) {
  const { t, f } = useWords();
  const folder = useFolder(place, part.readable && part.folder);
  const [shown, setShown] = useState<FileView | null>(null);
  const [back, setBack] = useState<string | null>(null);
  const takesBack = part.folder && (part.kind === 'volume' || part.kind === 'bind');
  const pages = folder.data?.pages ?? [];
  const files = part.folder ? pages.flatMap((page) => page.files) : [single(part)];
  const leftOut = Math.max(0, ...pages.map((page) => page.left_out));
  const waiting = part.folder && folder.isPending;
  return (
    <Panel title={<Way name={part.name} path={place.path} go={go} />} aside={<Whole place={place} part={part} />} flush>
      {!part.readable && <Empty title={t.files.unreadable(part.reason ?? '')} />}
      {part.readable && folder.isError && <div style={{ padding: '1.25rem' }}><Failure error={folder.error} retry={() => void folder.refetch()} /></div>}
      {part.readable && waiting && !folder.isError && <div style={{ padding: '1.25rem' }}><Bones rows={6} /></div>}
      {part.readable && !waiting && !folder.isError && files.length === 0 && <Empty title={t.files.empty} />}
      {part.readable && files.length > 0 && (
        <DataTable
          label={t.files.list}
          heads={[t.common.name, t.files.colSize, t.files.colChanged, t.files.colMode, t.files.colActions]}
        >
          {files.map((file) => (
            <FileRow
              key={file.path}
              file={file}
              place={place}
              go={go}
              preview={setShown}
              put={takesBack ? (chosen) => setBack(chosen.path) : undefined}
            />
          ))}
        </DataTable>
      )}
      {folder.hasNextPage && (
        <div className={css.more}>
          <Button loading={folder.isFetchingNextPage} onClick={() => void folder.fetchNextPage()}>
            {t.apps.showMore}
          </Button>
        </div>
      )}
      {leftOut > 0 && <p className="dim small" style={{ padding: '0.75rem 1.25rem' }}>{t.files.leftOut(f.number(leftOut))}</p>}
      <PutBack place={place} part={part} path={back} onClose={() => setBack(null)} />
      <Preview place={place} file={shown} onClose={() => setShown(null)} />
    </Panel>
  );
}

/** A bind mount of a single file. */
function single(part: SectionView): FileView {
  const name = part.name.split('/').pop() ?? part.name;
  return { name, path: '', kind: 'file', size: null, mode: null, uid: null, gid: null, mtime: null, link: null };
}

/** The way to the folder, each step a button. */
function Way({ name, path, go }: { name: string; path: string; go: (path: string) => void }) {
  const { t } = useWords();
  const steps = [{ name, path: '' }, ...crumbs(path)];
  return (
    <span className={css.way} aria-label={t.files.where}>
      {steps.map((step, place) => (
        <span key={step.path} className={css.step}>
          {place > 0 && <IconChevronRight size={14} aria-hidden />}
          {place === steps.length - 1 ? (
            <span>{step.name}</span>
          ) : (
            <button type="button" className={css.crumb} onClick={() => go(step.path)}>
              {step.name}
            </button>
          )}
        </span>
      ))}
    </span>
  );
}

function Whole({ place, part }: { place: Place; part: SectionView }) {
  const { t } = useWords();
  if (!part.readable || !part.folder) return null;
  return (
    <span className="row">
      {([undefined, 'zip'] as const).map((format) => (
        <Button
          key={format ?? 'tar'}
          size="compact-sm"
          leftSection={<IconDownload size={15} aria-hidden />}
          title={format && t.files.zipHint}
          renderRoot={(props) => <a href={contentUrl(place, format)} download {...props} />}
        >
          {format ? t.files.downloadZip : t.files.downloadFolder}
        </Button>
      ))}
    </span>
  );
}
