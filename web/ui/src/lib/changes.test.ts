import { describe, expect, it } from 'vitest';
import type { ChangeView, FileView } from '~/api/types';
import { spotOf } from './files';

const file = (path: string, kind: FileView['kind']) => ({ path, kind }) as FileView;
const change = (part: Partial<ChangeView>) => ({ section: 'volume:v', differs: [], before: null, after: null, ...part }) as ChangeView;

describe('where a change is shown', () => {
  it('is the folder of the file, in the point that has it', () => {
    const added = change({ path: 'a/b.txt', change: 'added', after: file('a/b.txt', 'file') });
    expect(spotOf(added, 'old', 'new')).toEqual({ point: 'new', section: 'volume:v', path: 'a' });
    const gone = change({ path: 'a/b.txt', change: 'removed', before: file('a/b.txt', 'file') });
    expect(spotOf(gone, 'old', 'new').point).toBe('old');
  });

  it('is a folder itself', () => {
    const folder = change({ path: 'a/b', change: 'changed', before: file('a/b', 'folder'), after: file('a/b', 'folder') });
    expect(spotOf(folder, 'old', 'new').path).toBe('a/b');
  });
});
