// The API of routes.md over the invented state: [method, path, act].
import { fileContent, filesDiffer, filesFound, folderOf, sectionsOf } from './files.mjs';
import { CONTENTS, fullBucket, job, KIT, noBucket } from './data.mjs';
import { problem } from './server.mjs';

const ok = (json) => ({ json });
const accepted = (json) => ({ status: 202, json });
const done = { status: 204 };
const no = (...words) => ({ fault: problem(...words) });
const iso = (time = Date.now()) => new Date(time).toISOString();

/** Every app with its policy; one with a gap, one volume of nobody's, one host that is silent. */
function coverage(state) {
  const gap = (code, subject, message) => ({ severity: 'warning', code, subject, message, advice: null });
  return {
    time: iso(),
    hosts: state.hosts.map((host) => ({
      host: host.name,
      error: host.reachable ? null : 'the host did not answer within 60 s',
      apps: state.apps
        .filter((app) => app.host === host.name)
        .map((app) => ({
          id: app.id,
          state: app.policy ? 'covered' : 'nobody',
          policy: app.policy ?? null,
          gaps: app.name === 'registry' ? [gap('bind.not_captured', '/srv/export', 'the host path /srv/export of registry was not captured: it is a part of the host’s own system')] : [],
        })),
      gaps: host.name === 'edge-01' ? [gap('volume.unused', 'old-data', 'volume old-data is used by no container, so it belongs to no app and is in no backup')] : [],
    })),
  };
}

const appOf = (state, id) => state.apps.find((app) => app.id === id || app.name === id);
const unknown = () => no(404, 'not_found', 'app.unknown', 'this app is not known');
const active = (state) => state.jobs.filter((each) => ['queued', 'running'].includes(each.state));

function status(state) {
  const calm = ['protected', 'backing_up'];
  return {
    version: '0.1.0',
    appliance: 'acme-berlin',
    repository: '5f2a9c0e7d1b4a3f8e6c2d1a0b9f8e7d',
    apps: state.apps.length,
    protected: state.apps.filter((app) => calm.includes(app.state)).length,
    attention: state.apps.filter((app) => !calm.includes(app.state)).length,
    snapshots: [...state.snapshots.values()].flat().length,
    hosts: state.hosts,
    cache: state.cache,
    bucket: state.bucket,
    jobs: active(state),
    bytes_logical: state.fresh ? 0 : 28.3e12,
    activity: state.fresh ? [] : state.activity,
    kit_confirmed: state.kitConfirmed,
    enrolment: state.enrolment,
    problems: [],
  };
}

function addJob({ state, tell }, kind, subject, part) {
  const made = job(kind, subject, part);
  state.jobs.unshift(made);
  tell({ type: 'job', job: made });
  return made;
}

function plan(state, body) {
  const all = [...state.snapshots.values()].flat();
  const snapshot = all.find((each) => each.id === body.snapshot);
  if (!snapshot) return no(404, 'not_found', 'snapshot.unknown', 'this restore point is not known');
  const kind = body.target.kind;
  const name = kind === 'beside' ? (body.name ?? `${snapshot.app}-restore`) : snapshot.app;
  const host = kind === 'host' ? body.target.host : snapshot.host;
  const taken = kind === 'beside' && appOf(state, `${host}/${name}`);
  const lacks = kind === 'host' && !body.ways?.includes('no_devices');
  const far = body.from === 'bucket' || snapshot.state.local === 'absent';
  const gb = snapshot.bytes_logical;
  const writes = `Write ${(gb / 1e9).toFixed(0)} GB, ${far ? 'all of it from the bucket' : '96 % of it from the local cache'}`;
  const steps = {
    beside: [`Create the network and 5 volumes as ${name}_*`, writes, 'Create 4 containers from images by digest, without published ports', 'Start them in order and wait for their health checks'],
    in_place: [`Take a safety point of ${name}`, `Stop and remove the 4 containers of ${name}`, writes, 'Create the containers, networks and volumes under their old names', 'Start them in order and wait for their health checks'],
    host: [`Load 3 images onto ${host}`, `Create the network and 5 volumes on ${host}`, writes, 'Create and start 4 containers'],
  }[kind];
  const flags = { beside: `--as ${name}`, in_place: '--in-place', host: `--to ${host}` }[kind];
  return ok({
    snapshot,
    host,
    name,
    steps: body.volume ? [`Create volume ${name}_${body.volume}`, writes, 'Read it back and compare'] : steps,
    conflicts: taken ? [{ severity: 'error', code: 'name.taken', subject: name, message: `There is an app named ${name} on ${host} already`, advice: 'Choose another name.' }] : lacks ? [{ severity: 'error', code: 'device.missing', subject: '/dev/ttyUSB0', message: `web needs device /dev/ttyUSB0, which is not on ${host}`, advice: 'Leave it out.' }] : [],
    notes: kind === 'beside' ? [{ severity: 'note', code: 'port.unpublished', subject: 'web', message: 'Port 443 is not published, because the original holds it', advice: null }] : [],
    destructive: kind === 'in_place',
    bytes: gb,
    bytes_from_bucket: far ? Math.round(gb * 0.22) : 0,
    requests: far ? 4120 : 0,
    seconds_from_cache: snapshot.state.local === 'present' ? Math.round(gb / 3.6e9) : null,
    seconds_from_bucket: Math.round(gb / 5.2e8),
    command: `holdfast restore ${snapshot.id.slice(0, 10)} ${flags}`,
  });
}

const NO_HOOKS = { dump: null, pre: null, post: null, user: null, timeout_seconds: null };

/** Commands around backups: the database of each app has two by label. */
function hooksOf(state, { host, app }) {
  const labels = { db: { ...NO_HOOKS, pre: 'touch /data/quiet', post: 'rm -f /data/quiet' }, web: NO_HOOKS };
  const set = state.hooks?.[`${host}/${app}`] ?? {};
  const services = Object.keys(labels).map((service) => {
    const own = { ...NO_HOOKS, ...set[service] };
    const effective = Object.fromEntries(Object.keys(NO_HOOKS).map((key) => [key, (own[key] ?? labels[service][key]) || null]));
    return { service, present: true, labels: labels[service], set: own, effective };
  });
  return { services, error: null };
}

function setHooks(state, { host, app, service }, hooks) {
  state.hooks ??= {};
  (state.hooks[`${host}/${app}`] ??= {})[service] = hooks;
}

/** What leaves the cache to bring it down to an aim. */
function evicted({ state, body, tell }) {
  const { room } = state;
  const over = Math.max(0, room.used_bytes - (body.aim_bytes ?? room.limit_bytes));
  const bytes = Math.min(over, room.evictable_bytes);
  if (!body.dry_run) {
    state.room = { ...room, used_bytes: room.used_bytes - bytes, evictable_bytes: room.evictable_bytes - bytes, bucket_only_bytes: room.bucket_only_bytes + bytes };
    tell({ type: 'status' });
  }
  return ok({ packs: Math.ceil(bytes / 64e6), bytes, short_bytes: over - bytes });
}

function setRule({ state, body, tell }) {
  if (body.quota_bytes !== null && body.quota_bytes < 2 ** 30) return no(422, 'invalid', 'cache.rule', 'the cache needs 1 GiB at least');
  state.room = { ...state.room, rule: body, limit_bytes: body.quota_bytes ?? 912e9 };
  tell({ type: 'status' });
  return ok(state.room);
}

/** Takes a restore point out of one map of lists, and into another if there is one. */
function move(from, to, wanted, until) {
  let moved;
  for (const [app, list] of from) {
    const found = list.find((each) => each.id === wanted);
    if (!found) continue;
    moved = { ...found, forgotten_until: until };
    from.set(app, list.filter((each) => each !== found));
    to?.set(app, [...(to.get(app) ?? []), moved].toSorted((a, b) => a.time.localeCompare(b.time)));
  }
  return moved;
}

/** What is verified by itself. */
function daily({ dailyPercent: percent, fresh, cache, bucket }) {
  const part = (bytes) => Math.floor((bytes * percent) / 100);
  const next = percent === 0 || fresh ? null : iso(Date.now() + 9 * 3_600_000);
  return { rule: { daily_percent: percent }, last: fresh ? null : iso(Date.now() - 15 * 3_600_000), next, cache_bytes: part(cache.used_bytes), bucket_bytes: part(bucket.stored_bytes) };
}

const wrongPassword = () => no(403, 'denied', 'login.wrong', 'the password is wrong');

function made(state, way, name) {
  const id = `${way}-${String(state.keys.slots.length).padStart(8, '0')}`;
  state.keys.slots.push({ id, way, name, made: iso(), epoch: state.keys.epoch, fingerprint: null, in_cache: true, in_bucket: true, ours: true, retired: false });
  return { status: 201, json: { id, kit: null, problems: [] } };
}

function renewed(state, epoch) {
  state.kitConfirmed = false;
  state.keys.epoch_since = epoch === state.keys.epoch ? state.keys.epoch_since : iso();
  state.keys.epoch = epoch;
  return ok({ id: 'recovery-1', kit: { text: KIT, file_name: 'holdfast-kit-5f2a9c0e.txt' }, problems: [] });
}

export const routes = [
  ['GET', '/setup', ({ state }) => ok({ done: state.admin !== null, has_repository: !state.fresh, kit_confirmed: state.kitConfirmed, has_bucket: state.bucket.health !== 'none', version: '0.1.0' })],
  ['POST', '/setup', ({ state, body }) => {
    if (body.token !== state.token) return no(403, 'denied', 'setup.token', 'the setup link is not valid', 'Print it again with holdfast setup-link.');
    if (body.password.length < 12) return no(422, 'invalid', 'password.short', 'a password has at least 12 characters');
    state.admin = { name: body.name, password: body.password };
    return { json: { name: body.name }, cookie: true };
  }],
  ['POST', '/session', ({ state, body }) => (state.admin && body.password === state.admin.password ? { json: { name: body.name }, cookie: true } : no(403, 'denied', 'login.wrong', 'name or password is wrong'))],
  ['GET', '/session', ({ state }) => ok({ name: state.admin.name })],
  ['DELETE', '/session', () => ({ status: 204, cookie: false })],
  ['GET', '/status', ({ state }) => ok(status(state))],
  ['GET', '/apps', ({ state }) => ok(state.apps)],
  ['GET', '/apps/:host/:app', ({ state, params }) => { const app = appOf(state, `${params.host}/${params.app}`); return app ? ok(app) : unknown(); }],
  ['GET', '/apps/:host/:app/hooks', ({ state, params }) => ok(hooksOf(state, params))],
  ['PUT', '/apps/:host/:app/hooks/:service', ({ state, params, body }) => { setHooks(state, params, body); return ok(hooksOf(state, params)); }],
  ['DELETE', '/apps/:host/:app/hooks/:service', ({ state, params }) => { setHooks(state, params, undefined); return ok(hooksOf(state, params)); }],
  ['PUT', '/apps/:host/:app/policy', ({ state, params, body, tell }) => {
    const app = appOf(state, `${params.host}/${params.app}`);
    if (!app) return unknown();
    app.policy = body.policy;
    app.every_seconds = body.policy ? state.policies[body.policy].every_seconds : null;
    app.state = body.policy ? (app.snapshots > 0 ? 'protected' : 'waiting') : 'not_protected';
    app.reason = null;
    // As the real schedule does: what has no backup yet gets one at once.
    if (body.policy && app.snapshots === 0) {
      app.state = 'backing_up';
      addJob({ state, tell }, 'backup', app.id);
    }
    tell({ type: 'apps' });
    return ok(app);
  }],
  ['POST', '/backups', (house) => house.body.apps.some((id) => appOf(house.state, id).state === 'backing_up') ? no(409, 'conflict', 'backup.running', 'a backup is under way already') : accepted(house.body.apps.map((id) => { const app = appOf(house.state, id); app.state = 'backing_up'; house.tell({ type: 'apps' }); return addJob(house, 'backup', app.id); }))],
  ['GET', '/snapshots', ({ state, query }) => ok((query.get('forgotten') === 'true' ? state.forgotten : state.snapshots).get(query.get('app')) ?? [])],
  ['GET', '/snapshots/:id', ({ state, params }) => { const snapshot = [...state.snapshots.values()].flat().find((each) => each.id === params.id); return snapshot ? ok({ snapshot, engine: state.hosts[0].engine, contents: CONTENTS }) : no(404, 'not_found', 'snapshot.unknown', 'this restore point is not known'); }],
  ['GET', '/snapshots/:id/sections', () => ok(sectionsOf())],
  ['GET', '/snapshots/:id/files', ({ params, query }) => { const folder = folderOf(params.id, query); return folder ? ok(folder) : no(404, 'not_found', 'files.absent', `there is no “${query.get('path')}” in ${query.get('section')} of this snapshot`); }],
  ['GET', '/snapshots/:id/content', ({ query }) => fileContent(query)],
  ['GET', '/snapshots/:id/compose', () => ({ status: 200, bytes: Buffer.from('name: shop\n'), headers: { 'content-type': 'application/yaml', 'content-disposition': 'attachment; filename="shop.compose.yaml"' } })],
  ['GET', '/snapshots/:id/diff', ({ params, query }) => ok(filesDiffer(params.id, query))],
  ['GET', '/apps/:host/:app/files', ({ state, params, query }) => ok(filesFound(state.snapshots.get(`${params.host}/${params.app}`) ?? [], query.get('pattern')))],
  ['DELETE', '/snapshots/:id', ({ state, params, query, tell }) => { move(state.snapshots, query.get('now') === 'true' ? null : state.forgotten, params.id, iso(Date.now() + 7 * 86_400_000)); if (query.get('now') === 'true') move(state.forgotten, null, params.id, null); tell({ type: 'snapshots' }); return done; }],
  ['POST', '/snapshots/:id/unforget', ({ state, params, tell }) => { const back = move(state.forgotten, state.snapshots, params.id, null); tell({ type: 'snapshots' }); return back ? ok(back) : no(409, 'conflict', 'snapshot.not_forgotten', 'nobody has forgotten this snapshot'); }],
  ['POST', '/restores/plan', ({ state, body }) => plan(state, body)],
  ['POST', '/restores', (house) => { const made = plan(house.state, house.body); if (made.fault) return made; if (made.json.destructive && !house.body.confirmed) return no(409, 'refused', 'restore.confirm', 'this restore replaces a running app and needs your agreement'); return accepted(addJob(house, 'restore', `${made.json.host}/${made.json.snapshot.app}`, { snapshot: made.json.snapshot.id })); }],
  ['POST', '/snapshots/:id/files', (house) => { const { id } = house.params; const [app] = [...house.state.snapshots].find(([, list]) => list.some((each) => each.id === id)) ?? ['edge-01/gitea']; return accepted(addJob(house, 'restore', app, { snapshot: id })); }],
  ['GET', '/jobs', ({ state }) => ok(state.jobs)],
  ['GET', '/jobs/:id', ({ state, params }) => ok(state.jobs.find((each) => each.id === params.id))],
  ['POST', '/jobs/:id/cancel', ({ state, params, tell }) => { const found = state.jobs.find((each) => each.id === params.id); Object.assign(found, { state: 'cancelled', ended: iso(), summary: 'Stopped by admin' }); tell({ type: 'job', job: found }); return ok(found); }],
  ['GET', '/hosts', ({ state }) => ok(state.hosts)],
  ['POST', '/hosts', ({ state, body }) => { if (body.url.includes('nowhere')) return no(503, 'unavailable', 'host.unreachable', `${body.url} does not answer`, 'Check the address and that the engine listens there.'); const host = { ...state.hosts[0], name: body.name, url: body.url, apps: 0, containers: 0 }; state.hosts.push(host); return { status: 201, json: host }; }],
  ['DELETE', '/hosts/:name', ({ state, params }) => { state.hosts = state.hosts.filter((host) => host.name !== params.name); return done; }],
  ['GET', '/policies', ({ state }) => ok(Object.values(state.policies).map((policy) => ({ policy, apps: state.apps.filter((app) => app.policy === policy.name).map((app) => app.id) })))],
  ['PUT', '/policies/:name', ({ state, body }) => { state.policies[body.name] = body; return ok({ policy: body, apps: [] }); }],
  ['DELETE', '/policies/:name', ({ state, params }) => { if (state.apps.some((app) => app.policy === params.name)) return no(409, 'conflict', 'policy.in_use', 'this policy still covers apps'); delete state.policies[params.name]; return done; }],
  ['POST', '/check', (house) => accepted(addJob(house, 'check', ''))],
  ['GET', '/check', ({ state }) => ok(state.check)],
  ['GET', '/check/daily', ({ state }) => ok(daily(state))],
  ['PUT', '/check/daily', ({ state, body, tell }) => { if (body.daily_percent > 100) return no(422, 'invalid', 'check.percent', 'a share is a percentage from 0, which is off, to 100'); state.dailyPercent = body.daily_percent; tell({ type: 'status' }); return ok(daily(state)); }],
  ['GET', '/prune', ({ state }) => { const all = [...state.snapshots.values()].flat(); const line = (reason) => (each) => ({ id: each.id, app: `${each.host}/${each.app}`, time: each.time, reason }); return ok({ keep: all.slice(40).map(line('newest of its day')), forget: all.slice(0, 6).map(line('no rule keeps it')), packs: 212, cache_bytes: 9.4e9, bucket_bytes: 22.1e9, held_bytes: 1.8e9, problems: [] }); }],
  ['POST', '/prune', (house) => accepted(addJob(house, 'prune', ''))],
  ['POST', '/kit', ({ state, body }) => (body.password === state.admin.password ? ok({ text: KIT, file_name: 'holdfast-kit-5f2a9c0e.txt' }) : no(403, 'denied', 'login.wrong', 'the password is wrong'))],
  ['POST', '/kit/confirm', ({ state, tell }) => { state.kitConfirmed = true; tell({ type: 'status' }); return done; }],
  ['GET', '/keys', ({ state }) => ok(state.keys)],
  ['POST', '/keys/passphrases', ({ state, body }) => (body.password === state.admin.password ? made(state, 'passphrase', body.name) : wrongPassword())],
  ['POST', '/keys/escrow', ({ state, body }) => (body.password === state.admin.password ? made(state, 'escrow', body.name) : wrongPassword())],
  ['POST', '/keys/rotate', ({ state, body }) => (body.password === state.admin.password ? renewed(state, state.keys.epoch + 1) : wrongPassword())],
  ['POST', '/keys/recovery', ({ state, body }) => (body.password === state.admin.password ? renewed(state, state.keys.epoch) : wrongPassword())],
  ['PUT', '/keys/:id', ({ state, body, params }) => { if (body.password !== state.admin.password) return wrongPassword(); const old = state.keys.slots.find((slot) => slot.id === params.id); state.keys.slots = state.keys.slots.filter((slot) => slot.id !== params.id); return made(state, 'passphrase', old.name); }],
  ['DELETE', '/keys/:id', ({ state, params }) => { state.keys.slots = state.keys.slots.filter((slot) => slot.id !== params.id); return ok({ id: params.id, kit: null, problems: [] }); }],
  ['GET', '/cache', ({ state }) => ok(state.room)],
  ['PUT', '/cache', setRule],
  ['POST', '/cache/evict', evicted],
  ['POST', '/snapshots/:id/warm', (house) => { const { id } = house.params; const [app] = [...house.state.snapshots].find(([, list]) => list.some((each) => each.id === id)) ?? ['edge-01/gitea']; return accepted(addJob(house, 'warm', app, { snapshot: id })); }],
  ['GET', '/bucket', ({ state }) => ok(state.bucket)],
  ['PUT', '/bucket', ({ state, body, tell }) => { if (body.url.includes('denied')) return no(403, 'denied', 'bucket.denied', 'the bucket refused the key', 'Check the access key and its rights on this bucket.'); state.bucket = { ...fullBucket(Date.now(), body.url), stored_bytes: 0, snapshots: 0, queued_bytes: 0, queued_objects: 0, rate: 0 }; tell({ type: 'status' }); return ok(state.bucket); }],
  ['POST', '/bucket/probe', ({ state }) => { if (state.bucket.capabilities) state.bucket.capabilities.probed = iso(); return ok(state.bucket ?? noBucket()); }],
  ['PUT', '/bucket/lock', ({ state, body: { rule }, tell }) => { if (rule && !state.bucket.capabilities?.object_lock) return no(409, 'refused', 'bucket.no_lock', 'a probe did not see that the bucket keeps locks', 'Make one with object lock.'); state.bucket = { ...state.bucket, lock: rule && { rule, proved: null, broken: false } }; tell({ type: 'status' }); return ok(state.bucket); }],
  ['PUT', '/bucket/uploads', ({ state, body: { expected, ...body }, tell }) => { if (expected && JSON.stringify(expected) !== JSON.stringify(state.bucket.uploads)) return no(409, 'conflict', 'uploads.changed', 'somebody else has decided meanwhile what uploads may take', 'Look at the limits as they are now, and decide again.'); state.bucket = { ...state.bucket, uploads: body, allowed: body.paused ? 0 : (body.bytes_per_second ?? null) }; tell({ type: 'status' }); return ok(state.bucket); }],
  ['POST', '/enrol', ({ state }) => { state.enrolment = { provider: 'Nordwind IT', tenant: 'acme-berlin' }; state.bucket = fullBucket(Date.now()); return ok(state.enrolment); }],
  ['POST', '/recover', (house) => accepted(addJob(house, 'recover', ''))],
  ['GET', '/coverage', ({ state }) => ok(coverage(state))],
  ['GET', '/doctor', () => ok([{ test: 'host edge-01', ok: true, detail: 'Docker 20.10.24 answers in 4 ms' }, { test: 'disk', ok: true, detail: '548 GB free' }, { test: 'clock', ok: false, detail: 'the clock differs from the bucket by 40 s' }])],
];
