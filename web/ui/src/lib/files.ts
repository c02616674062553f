/** Paths, addresses and contents of stored files. Names are text that the API made safe; they are never read as HTML. */
import type { ChangeView, FileView, SectionView } from '~/api/types';

/** Bytes that a preview asks for. */
export const PREVIEW_BYTES = 65_536;

export interface Place {
  snapshot: string;
  section: string;
  path: string;
}

/** Where a file, or a folder as a tar or zip, is downloaded from. */
export function contentUrl({ snapshot, section, path }: Place, format?: 'zip'): string {
  const query = new URLSearchParams(format ? { section, path, format } : { section, path });
  return `/api/v1/snapshots/${encodeURIComponent(snapshot)}/content?${query.toString()}`;
}

/** The folders above a path, and it itself, outermost first. */
export function crumbs(path: string): { name: string; path: string }[] {
  const parts = path.split('/').filter(Boolean);
  return parts.map((name, place) => ({ name, path: parts.slice(0, place + 1).join('/') }));
}

/** The folder that a path lies in. */
export const folderOf = (path: string) => path.split('/').slice(0, -1).join('/');

const SPECIAL = [
  { shift: 6, bit: 0o4000, letter: 's' },
  { shift: 3, bit: 0o2000, letter: 's' },
  { shift: 0, bit: 0o1000, letter: 't' },
];

/** `rwxr-x--t`. */
export function rights(mode: number | null): string {
  if (mode === null) return '';
  return SPECIAL.map(({ shift, bit, letter }) => {
    const bits = mode >> shift;
    const runs = (bits & 1) > 0;
    const last = (mode & bit) > 0 ? (runs ? letter : letter.toUpperCase()) : runs ? 'x' : '-';
    return `${(bits & 4) > 0 ? 'r' : '-'}${(bits & 2) > 0 ? 'w' : '-'}${last}`;
  }).join('');
}

/** The text of the beginning of a file; null if it is none. */
export function textOf(bytes: Uint8Array): string | null {
  if (bytes.includes(0)) return null;
  const text = new TextDecoder('utf-8').decode(bytes);
  // A letter may be cut in two at the end; more than that is no text.
  const unread = text.slice(0, -3).split('\uFFFD').length - 1;
  return unread > text.length / 100 ? null : text;
}

const isIn = (path: string, folder: string) => folder === '' || path === folder || path.startsWith(`${folder}/`);

/** Servers of whose files a path is one, or holds some, that are whole only with a log. */
export function loggedServers(part: Pick<SectionView, 'logged'>, path: string): string[] {
  const met = part.logged.filter((folder) => isIn(path, folder.path) || isIn(folder.path, path));
  return met.map((folder) => folder.server);
}

export const isFolder = (file: FileView) => file.kind === 'folder';
export const isFile = (file: FileView) => file.kind === 'file' || file.kind === 'hard_link';

/** Where a change is looked at: what was removed is only in the earlier point. */
export function spotOf(change: ChangeView, before: string, after: string) {
  const file = change.after ?? change.before;
  const path = file && isFolder(file) ? change.path : folderOf(change.path);
  return { point: change.change === 'removed' ? before : after, section: change.section, path };
}
