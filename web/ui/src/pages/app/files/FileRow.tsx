import { ActionIcon } from '@mantine/core';
import { IconArrowBackUp, IconDownload, IconEye, IconFile, IconFolder, IconLink, IconPlug } from '@tabler/icons-react';
import type { FileView } from '~/api/types';
import { useWords } from '~/i18n';
import { contentUrl, isFile, isFolder, rights, type Place } from '~/lib/files';
import css from './files.module.css';

const icon = (file: FileView) => {
  if (isFolder(file)) return IconFolder;
  if (file.kind === 'symlink') return IconLink;
  return isFile(file) ? IconFile : IconPlug;
};

interface Props {
  file: FileView;
  place: Place;
  go: (path: string) => void;
  preview: (file: FileView) => void;
  /** Asks to put it back; absent where nothing can be. */
  put?: (file: FileView) => void;
}

/** One entry of a folder. */
export function FileRow({ file, place, go, preview, put }: Props) {
  const { t, f } = useWords();
  const Icon = icon(file);
  const owner = file.uid !== null && file.gid !== null ? `${file.uid}:${file.gid}` : '';
  return (
    <tr>
      <td>
        <span className={css.name}>
          <Icon size={17} color="var(--hf-dim)" style={{ flex: 'none' }} aria-hidden />
          <span>
            {isFolder(file) ? (
              <button type="button" className={css.crumb} aria-label={t.files.openFolder(file.name)} onClick={() => go(file.path)}>
                {file.name}
              </button>
            ) : (
              <span className={css.text}>{file.name}</span>
            )}
            <Note file={file} />
          </span>
        </span>
      </td>
      <td className="numbers">{file.size === null ? '—' : f.bytes(file.size)}</td>
      <td>{file.mtime ? f.moment(file.mtime) : '—'}</td>
      <td className="mono small" style={{ whiteSpace: 'nowrap' }}>
        {rights(file.mode)} <span className="dim">{owner}</span>
      </td>
      <td>
        <div className="row" style={{ flexWrap: 'nowrap' }}>
          {(isFile(file) || isFolder(file)) && (
            <ActionIcon
              aria-label={t.files.downloadOf(file.name)}
              renderRoot={(props) => <a href={contentUrl({ ...place, path: file.path })} download {...props} />}
            >
              <IconDownload size={16} aria-hidden />
            </ActionIcon>
          )}
          {isFile(file) && (
            <ActionIcon aria-label={t.files.previewOf(file.name)} onClick={() => preview(file)}>
              <IconEye size={16} aria-hidden />
            </ActionIcon>
          )}
          {put && (
            <ActionIcon aria-label={t.files.putOf(file.name)} onClick={() => put(file)}>
              <IconArrowBackUp size={16} aria-hidden />
            </ActionIcon>
          )}
        </div>
      </td>
    </tr>
  );
}

function Note({ file }: { file: FileView }) {
  const { t } = useWords();
  if (file.kind === 'symlink') return <div className={`dim ${css.text}`}>{t.files.linkTo(file.link ?? '')}</div>;
  if (file.kind === 'hard_link') return <div className={`dim ${css.text}`}>{t.files.sameAs(file.link ?? '')}</div>;
  if (file.kind === 'file' || file.kind === 'folder') return null;
  return <div className="dim">{t.files.special[file.kind]}</div>;
}
