// Invented files: folders within folders, links, names of strangers, one folder of many pages.
const MTIME = '2026-11-20T08:15:00Z';
const entry = (path, kind, size = null, more = {}) => ({ name: path.split('/').pop(), path, kind, size, mode: kind === 'folder' ? 0o750 : 0o640, uid: 70, gid: 70, mtime: MTIME, link: null, ...more });

const FILES = [
  entry('conf', 'folder'),
  entry('conf/app.conf', 'file', 812),
  entry('conf/nginx.conf', 'file', 2048, { mode: 0o644 }),
  entry('conf/current', 'symlink', null, { link: '../releases/2026-11/conf' }),
  entry('conf/nginx.conf.bak', 'hard_link', null, { link: 'conf/nginx.conf' }),
  entry('uploads', 'folder', null, { mode: 0o2775 }),
  entry('run', 'folder', null, { mode: null, uid: null, gid: null, mtime: null }),
  entry('run/app.sock', 'socket'),
  entry('empty', 'folder'),
  entry('<img src=x onerror=alert(1)>.html', 'file', 99),
  entry('bell\\x07 and \\xFF.txt', 'file', 3),
  entry(`a-very-long-name-${'without-an-end-'.repeat(10)}.log`, 'file', 18e9),
  ...Array.from({ length: 1200 }, (_, n) => entry(`uploads/picture-${String(n).padStart(5, '0')}.jpg`, 'file', 40_000 + n * 17)),
];

const section = (kind, name, more = {}) => ({ section: `${kind}:${name}`, kind, name, folder: true, entries: FILES.length, bytes: 41e9, readable: true, reason: null, logged: [], ...more });
const SECTIONS = [section('volume', 'shop_data', { logged: [{ path: '', server: 'PostgreSQL in container shop-db-1' }] }), section('volume', 'shop_export', { readable: false, reason: 'its content was not captured' }), section('bind', '/srv/shop/app.conf', { folder: false, entries: 1, bytes: 2048 }), section('container', 'shop-web-1')];

export const sectionsOf = () => SECTIONS;

export function folderOf(snapshot, query) {
  const path = query.get('path') ?? '';
  const limit = Number(query.get('limit') ?? 500);
  const after = query.get('after');
  if (path !== '' && !FILES.some((file) => file.path === path && file.kind === 'folder')) return null;
  const inside = FILES.filter((file) => file.path.split('/').slice(0, -1).join('/') === path).sort((a, b) => (a.name < b.name ? -1 : 1));
  const rest = after === null ? inside : inside.filter((file) => file.name > after);
  const files = rest.slice(0, limit);
  return { snapshot, section: query.get('section'), path, files, next: rest.length > limit ? files.at(-1).name : null, left_out: 0 };
}

export function fileContent(query) {
  const bytes = Buffer.from(`# ${query.get('path')}\n<script>alert('never run')</script>\nlisten = 8080\n`);
  return { status: 206, bytes, headers: { 'content-type': 'application/octet-stream', 'content-disposition': 'attachment; filename="file"', 'x-content-type-options': 'nosniff' } };
}

export function filesDiffer(after, query) {
  const changed = (path, change, differs, before, now) => ({ section: 'volume:shop_data', path, change, differs, before, after: now });
  const of = (path) => FILES.find((file) => file.path === path);
  const all = [
    changed('conf/app.conf', 'changed', ['size', 'mtime', 'content'], { ...of('conf/app.conf'), size: 790 }, of('conf/app.conf')),
    changed('conf/old.conf', 'removed', [], entry('conf/old.conf', 'file', 12), null),
    ...FILES.slice(-600).map((file) => changed(file.path, 'added', [], null, file)),
  ];
  const begin = Number(query.get('after') ?? 0);
  const limit = Number(query.get('limit') ?? 500);
  const next = begin + limit < all.length ? String(begin + limit) : null;
  return { before: query.get('before'), after, changes: all.slice(begin, begin + limit), next, missing: ['volume:shop_export: its content was not captured'] };
}

export function filesFound(snapshots, pattern) {
  const hits = FILES.filter((file) => file.name.includes(pattern)).slice(0, 100);
  const told = snapshots.slice(-20).reverse().map(({ id, time }) => ({ id, time }));
  const versions = (file) => [{ file, count: 7, snapshots: told.slice(0, 7) }, { file: { ...file, size: file.size && file.size - 40, mtime: '2026-10-02T11:00:00Z' }, count: snapshots.length, snapshots: told.slice(7) }];
  const found = hits.map((file) => ({ section: 'volume:shop_data', path: file.path, versions: versions(file) }));
  return { found, snapshots: snapshots.length, complete: false, missing: ['volume:shop_export of every snapshot was not looked through: its content was not captured'] };
}
