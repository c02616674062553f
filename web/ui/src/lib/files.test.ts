import { describe, expect, it } from 'vitest';
import { contentUrl, crumbs, folderOf, loggedServers, rights, textOf } from './files';

describe('files', () => {
  it('writes names into addresses so that they stay names', () => {
    const url = contentUrl({ snapshot: '01abc', section: 'volume:a&b', path: 'x/ü?#\\xFF' });
    const read = new URL(url, 'http://here');
    expect(read.pathname).toBe('/api/v1/snapshots/01abc/content');
    expect(read.searchParams.get('section')).toBe('volume:a&b');
    expect(read.searchParams.get('path')).toBe('x/ü?#\\xFF');
  });

  it('knows the folders above', () => {
    expect(crumbs('a/b/c').map((crumb) => crumb.path)).toEqual(['a', 'a/b', 'a/b/c']);
    expect(crumbs('')).toEqual([]);
    expect(folderOf('a/b')).toBe('a');
    expect(folderOf('a')).toBe('');
  });

  it('writes rights as ls does', () => {
    expect(rights(0o755)).toBe('rwxr-xr-x');
    expect(rights(0o4640)).toBe('rwSr-----');
    expect(rights(0o1777)).toBe('rwxrwxrwt');
    expect(rights(null)).toBe('');
  });

  it('knows whose files are whole only with a log', () => {
    const part = { logged: [{ path: '15/main', server: 'PostgreSQL in container db' }] };
    for (const path of ['', '15', '15/main', '15/main/base/1']) expect(loggedServers(part, path)).toEqual(['PostgreSQL in container db']);
    for (const path of ['1', '14', '15/main.old', 'conf']) expect(loggedServers(part, path)).toEqual([]);
    expect(loggedServers({ logged: [{ path: '', server: 'PostgreSQL in container db' }] }, 'base')).toHaveLength(1);
  });

  it('tells text from what is none', () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    expect(textOf(bytes('<script>alert(1)</script>'))).toBe('<script>alert(1)</script>');
    expect(textOf(bytes('größer'.repeat(10)).slice(0, -3))).not.toBeNull();
    expect(textOf(new Uint8Array([65, 0, 66]))).toBeNull();
    expect(textOf(new Uint8Array(1000).fill(200))).toBeNull();
    expect(textOf(new Uint8Array())).toBe('');
  });
});
