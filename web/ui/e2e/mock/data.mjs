// Invented data in the shapes of the API: an appliance with three hosts, seven apps and all states.

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const GB = 1e9;
const TB = 1e12;
const BASE32 = '0123456789abcdefghjkmnpqrstvwxyz';

/** Repeatable noise: pictures of two runs can be compared. */
export function noise(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

let ids = 0;
export function newId(time = Date.now()) {
  let bits = (BigInt(time) << 80n) | BigInt(++ids);
  let text = '';
  for (let place = 0; place < 26; place += 1) {
    text = BASE32[Number(bits & 31n)] + text;
    bits >>= 5n;
  }
  return text;
}

const iso = (time) => new Date(time).toISOString();
const problem = (severity, code, subject, message, advice = null) => ({ severity, code, subject, message, advice });

const POLICIES = {
  gold: { name: 'gold', every_seconds: 3600, consistency: 'pause', databases: 'auto', keep: { last: 4, hourly: 24, daily: 14, weekly: 8, monthly: 12 } },
  silver: { name: 'silver', every_seconds: 21600, consistency: 'pause', databases: 'auto', keep: { last: 4, hourly: 0, daily: 14, weekly: 8, monthly: 6 } },
  bronze: { name: 'bronze', every_seconds: 86400, consistency: 'stop', databases: 'dump', keep: { last: 3, hourly: 0, daily: 7, weekly: 4, monthly: 3 } },
};

const APPS = [
  { host: 'edge-01', name: 'shop', containers: 6, volumes: 4, bytes: 184 * GB, policy: 'gold', state: 'backing_up', ago: 47 * 60_000, points: 60, cloud: 'shipping', project: true },
  { host: 'edge-01', name: 'gitea', containers: 2, volumes: 2, bytes: 96 * GB, policy: 'gold', state: 'protected', ago: 21 * 60_000, points: 60, cloud: 'present', project: true },
  { host: 'edge-02', name: 'nextcloud', containers: 4, volumes: 5, bytes: 1.3 * TB, policy: 'silver', state: 'cloud_behind', ago: 3 * HOUR, points: 56, cloud: 'shipping', project: true, reason: 'Cloud copy is 9 h behind: bucket answers 503 SlowDown' },
  { host: 'edge-02', name: 'postgres-bi', containers: 1, volumes: 1, bytes: 410 * GB, policy: 'gold', state: 'failed', ago: 2 * HOUR, points: 48, cloud: 'present', project: false, reason: 'The container was removed while it was captured; the last good copy stays' },
  { host: 'edge-01', name: 'grafana', containers: 1, volumes: 1, bytes: 4 * GB, policy: 'bronze', state: 'protected', ago: 9 * HOUR, points: 14, cloud: 'present', project: false },
  { host: 'edge-03', name: 'registry', containers: 3, volumes: 2, bytes: 620 * GB, policy: 'silver', state: 'protected', ago: 5 * HOUR, points: 40, cloud: 'present', project: true },
  { host: 'edge-03', name: 'minecraft', containers: 1, volumes: 1, bytes: null, policy: null, state: 'not_protected', ago: null, points: 0, cloud: 'none', project: false, reason: 'Found 3 days ago, no policy covers it' },
];

function snapshotsOf(app, now, random) {
  const every = POLICIES[app.policy ?? 'silver'].every_seconds * 1000;
  const list = [];
  for (let place = app.points - 1; place >= 0; place -= 1) {
    const time = now - app.ago - place * every;
    const fresh = app.bytes * 0.01 * (0.2 + random());
    const left = app.name === 'registry' ? place < 3 : random() < 0.06;
    list.push({
      id: newId(time),
      app: app.name,
      host: app.host,
      time: iso(time),
      consistency: POLICIES[app.policy].consistency,
      fidelity: 'api',
      databases: app.name === 'registry' ? [] : [{ container: `${app.name}-db-1`, kind: 'postgres', version: '15.2', readiness: 'prepared', dump_bytes: null }],
      trigger: random() < 0.05 ? 'manual' : 'schedule',
      policy: app.policy,
      bytes_logical: Math.round(app.bytes),
      bytes_new: Math.round(fresh),
      state: {
        local: place > app.points * 0.65 ? 'absent' : place > app.points * 0.6 ? 'partial' : 'present',
        cloud: app.cloud === 'shipping' && place < 2 ? 'shipping' : place === 17 ? 'damaged' : 'present',
      },
      problems: left ? [problem('warning', 'bind.not_captured', '/srv/export', 'The bind mount /srv/export was not captured: the path is on a network file system that the engine cannot read', 'Move the data into a volume, or give the engine rights to read it.')] : [],
      forgotten_until: null,
      locked_until: null,
      stats: { bytes_logical: Math.round(app.bytes), bytes_read: Math.round(app.bytes / 3), bytes_new: Math.round(fresh), chunks_new: 812, chunks_known: 40_122, images_known: 3, freeze_ms: 812, duration_ms: 95_000 },
    });
  }
  return list;
}

function appView(app, snapshots, now) {
  const newest = snapshots.at(-1);
  const policy = POLICIES[app.policy];
  return {
    id: `${app.host}/${app.name}`,
    name: app.name,
    host: app.host,
    project: app.project,
    state: app.state,
    reason: app.reason ?? null,
    containers: app.containers,
    running: app.containers,
    volumes: app.volumes,
    bytes_logical: app.bytes,
    policy: app.policy,
    every_seconds: policy?.every_seconds ?? null,
    last_backup: newest?.time ?? null,
    next_backup: policy ? iso(now + policy.every_seconds * 400) : null,
    newest: newest?.state ?? null,
    points: snapshots.slice(-24).map(({ id, time, bytes_new, state, problems }) => ({ id, time, bytes_new, state, problems: problems.length > 0 })),
    snapshots: snapshots.length,
    problems: newest?.problems ?? [],
  };
}

function hostView(name, apps, version, reachable = true) {
  const mine = apps.filter((app) => app.host === name);
  return {
    name,
    url: name === 'edge-01' ? 'unix:///var/run/docker.sock' : `tcp://${name}.lan:2376`,
    reachable,
    error: reachable ? null : 'connection refused',
    last_seen: iso(Date.now() - (reachable ? 4000 : DAY)),
    engine: { product: 'docker', version, api_version: '1.41', driver: 'overlay2', platform: 'linux/amd64', name, id: `ID-${name}`, free_bytes: 214 * GB },
    apps: mine.length,
    containers: mine.reduce((sum, app) => sum + app.containers, 0),
  };
}

function activity(now, random) {
  return Array.from({ length: 72 }, (_, hour) => {
    const time = now - (71 - hour) * HOUR;
    const night = new Date(time).getUTCHours() === 2 ? 9 : new Date(time).getUTCHours() === 3 ? 6 : 1;
    const captured = Math.round(GB * night * (1.2 + random()));
    return { time: iso(time), captured, uploaded: Math.round(captured * (0.7 + random() * 0.25)) };
  });
}

const noProgress = { phase: '', phase_number: 0, phases: 0, item: '', bytes_total: 0, bytes_done: 0, bytes_new: 0, bytes_known: 0, bytes_uploaded: 0, rate: 0, eta_seconds: null };

export function job(kind, subject, part = {}) {
  const created = iso(Date.now());
  return { id: newId(), kind, subject, state: 'queued', created, started: null, ended: null, progress: { ...noProgress }, snapshot: null, summary: null, error_kind: null, problems: [], log: [], ...part };
}

function pastJobs(now) {
  const at = (hours) => iso(now - hours * HOUR);
  const log = [
    { time: at(2.02), text: 'asked edge-02 for the containers of postgres-bi' },
    { time: at(2.01), text: 'images: 1 known, none read' },
    { time: at(2), text: 'volume pgdata: 121 GB read' },
  ];
  return [
    job('backup', 'edge-01/gitea', { state: 'done', created: at(0.4), started: at(0.4), ended: at(0.35), summary: '96 GB in 2 containers and 2 volumes, 312 MB new', progress: { ...noProgress, phase: 'commit', phase_number: 4, phases: 4, bytes_total: 96 * GB, bytes_done: 96 * GB, bytes_new: 312e6, bytes_known: 95 * GB }, log }),
    job('backup', 'edge-02/postgres-bi', { state: 'failed', created: at(2.1), started: at(2.1), ended: at(2), error_kind: 'not_found', summary: 'The container was removed while it was captured', problems: [problem('error', 'container.gone', 'postgres-bi', 'The container was removed while its volume pgdata was read, so this backup was dropped; earlier restore points are untouched', 'Run the backup again when the container is back.')], log }),
    job('backup', 'edge-03/registry', { state: 'done_with_problems', created: at(5.1), started: at(5.1), ended: at(5), summary: '620 GB, 1 bind mount left out', problems: [problem('warning', 'bind.not_captured', '/srv/export', 'The bind mount /srv/export was not captured', 'Move the data into a volume.')], log }),
    job('check', '', { state: 'done', created: at(26), started: at(26), ended: at(25.8), summary: '278 restore points, nothing missing', log }),
    job('restore', 'edge-01/grafana', { state: 'done', created: at(30), started: at(30), ended: at(29.9), summary: 'grafana-restore runs on edge-01', log }),
    job('prune', '', { state: 'cancelled', created: at(50), started: at(50), ended: at(49.9), summary: 'Stopped before anything was deleted', log }),
  ];
}

export const CONTENTS = [
  { kind: 'container', name: 'web', detail: 'nginx:1.27, running, 2 changed files', bytes: 120_000, captured: true },
  { kind: 'container', name: 'db', detail: 'postgres:16, running', bytes: null, captured: true },
  { kind: 'image', name: 'nginx:1.27', detail: 'sha256:9c1b6dd6, 7 layers', bytes: 192e6, captured: true },
  { kind: 'image', name: 'postgres:16', detail: 'sha256:4e6e670b, 14 layers', bytes: 432e6, captured: true },
  { kind: 'volume', name: 'pgdata', detail: 'local driver, 41,220 files', bytes: 121 * GB, captured: true },
  { kind: 'volume', name: 'uploads', detail: 'local driver, 902,113 files', bytes: 60 * GB, captured: true },
  { kind: 'bind', name: '/srv/config', detail: 'directory, read only', bytes: 88_000, captured: true },
  { kind: 'bind', name: '/srv/export', detail: 'on a network file system', bytes: null, captured: false },
  { kind: 'network', name: 'backend', detail: 'bridge 172.20.0.0/16, 2 aliases', bytes: null, captured: true },
];

const slot = (id, way, name, part) => ({ id, way, name, made: '2026-10-02T08:00:00Z', epoch: 0, fingerprint: null, in_cache: true, in_bucket: true, ours: true, retired: false, ...part });

/** The ways in of an appliance that has been used. */
function keys() {
  return {
    epoch: 0,
    epoch_since: null,
    slots_max: 16,
    slots: [
      slot('device', 'device', '', { in_bucket: false }),
      slot('recovery-0', 'recovery', ''),
      slot('passphrase-5e1f0a2b', 'passphrase', 'Ada'),
      slot('escrow-90aa12cd', 'escrow', 'Nordwind IT', { fingerprint: '6f2a-90c1-77de-0b34' }),
    ],
  };
}

export const KIT = `HOLDFAST RECOVERY KIT
=====================

Appliance:     acme-berlin
Made:          2026-11-23T05:00:00Z
Repository:    5f2a9c0e7d1b4a3f8e6c2d1a0b9f8e7d
Bucket:        s3://acme-holdfast?endpoint=https://s3.example.com&region=eu-central
Recovery key:  4k7qx9-m2tdpb-31fh8z-ncw5ry-e0vj6g-a1skd7-xq3mt9-bhp2ce-n4zw8r-fg

Whoever holds this page and can read the bucket can read every backup.
Without it, and without the appliance, nobody can: keep it offline, in two places.
`;

/** A whole appliance as one object; the server changes it. */
export function appliance({ fresh = false } = {}) {
  const now = Date.now();
  const random = noise(7);
  const apps = fresh ? APPS.slice(0, 3).map((app) => ({ ...app, policy: null, state: 'not_protected', points: 0, reason: null })) : APPS;
  const snapshots = new Map(apps.map((app) => [`${app.host}/${app.name}`, app.points > 0 ? snapshotsOf(app, now, random) : []]));
  const views = apps.map((app) => appView(app, snapshots.get(`${app.host}/${app.name}`), now));
  return {
    fresh,
    admin: fresh ? null : { name: 'admin', password: 'correct horse battery' },
    token: 'mock-token',
    kitConfirmed: !fresh,
    keys: keys(),
    policies: structuredClone(POLICIES),
    apps: views,
    snapshots,
    hosts: [hostView('edge-01', apps, '20.10.24'), hostView('edge-02', apps, '28.1.1'), hostView('edge-03', apps, '27.5.1')],
    jobs: fresh ? [] : pastJobs(now),
    activity: activity(now, random),
    cache: { used_bytes: 412 * GB, free_bytes: 548 * GB, disk_bytes: 960 * GB, packs: 6120, unshipped_bytes: 41 * GB, snapshots: 214 },
    room: { rule: { quota_bytes: null, reserve_bytes: null, keep_newest: 1, when_full: 'wait' }, used_bytes: 412 * GB, limit_bytes: 912 * GB, unshipped_bytes: 41 * GB, pinned_bytes: 6 * GB, newest_bytes: 118 * GB, evictable_bytes: 365 * GB, bucket_only_bytes: 790 * GB, waiting: false },
    bucket: fresh ? noBucket() : fullBucket(now),
    enrolment: fresh ? null : { provider: 'Nordwind IT', tenant: 'acme-berlin' },
    dailyPercent: 4,
    forgotten: new Map(),
    check: fresh ? null : { snapshots: 278, packs_cache: 6120, packs_bucket: 20311, bytes_read: 0, healed: 1, problems: [problem('note', 'pack.healed', 'pack 9c1b6dd6', 'A damaged pack in the cache was fetched again from the bucket; nothing is missing')] },
  };
}

export const noBucket = () => ({ url: null, proxy: null, health: 'none', error_code: null, error: null, stored_bytes: 0, snapshots: 0, queued_objects: 0, queued_bytes: 0, rate: 0, uploads: { paused: false, bytes_per_second: null, requests_per_second: null, windows: [] }, allowed: null, last_ack: null, capabilities: null, quota_bytes: null, lock: null });

export const fullBucket = (now, url = 's3://acme-holdfast?endpoint=https://s3.example.com&region=eu-central') => ({
  url,
  proxy: null,
  health: 'ok',
  error_code: null,
  error: null,
  stored_bytes: 1.2 * TB,
  snapshots: 1342,
  queued_objects: 58,
  queued_bytes: 3.5 * GB,
  rate: 48.2e6,
  uploads: { paused: false, bytes_per_second: null, requests_per_second: null, windows: [] },
  allowed: null,
  last_ack: iso(now - 2000),
  capabilities: { probed: iso(now - 3 * DAY), list_after_put: true, conditional_put: true, conditional_race: true, range: true, checksum: true, versioning: true, object_lock: true, can_delete: false, clock_skew_seconds: 1, notes: ['Deleting was not tried: the key has no right to it, as it should be.'], lost: [] },
  quota_bytes: 5 * TB,
  lock: null,
});
