// Moves jobs forward and tells about it, as the engine would.
import { job, newId } from './data.mjs';

const TICK_MS = 400;
const PHASES = {
  backup: ['inspect', 'images', 'hold', 'data', 'commit'],
  restore: ['plan', 'images', 'volumes', 'start'],
  check: ['compare'],
  prune: ['decide', 'free'],
  recover: ['connect', 'rebuild', 'swap', 'restart'],
  warm: ['fetch'],
};
const SECONDS = { backup: 10, restore: 8, check: 6, prune: 5, recover: 6, warm: 3 };

export function simulate(state, tell) {
  if (!state.fresh) {
    state.jobs.unshift(running('backup', 'edge-01/shop', 184e9, 0.79, 7200), running('restore', 'edge-01/gitea', 96e9, 0.3, 7200));
  }
  const timer = setInterval(() => {
    for (const each of state.jobs) step(state, each, tell);
  }, TICK_MS);
  return () => clearInterval(timer);
}

function running(kind, subject, bytes, part, seconds) {
  const made = job(kind, subject, { state: 'running', started: new Date().toISOString(), seconds });
  made.progress.bytes_total = bytes;
  made.part = part;
  return made;
}

function step(state, each, tell) {
  if (each.state === 'queued') Object.assign(each, { state: 'running', started: new Date().toISOString() });
  else if (each.state !== 'running') return;
  const seconds = each.seconds ?? SECONDS[each.kind];
  each.part = Math.min(1, (each.part ?? 0) + TICK_MS / 1000 / seconds);
  advance(each, seconds);
  if (each.part >= 1) finish(state, each, tell);
  tell({ type: 'job', job: each });
}

function advance(each, seconds) {
  const phases = PHASES[each.kind];
  const place = Math.min(phases.length - 1, Math.floor(each.part * phases.length));
  const total = each.progress.bytes_total || 12e9;
  each.progress = {
    ...each.progress,
    phase: phases[place],
    phase_number: place + 1,
    phases: phases.length,
    item: 'volume pgdata',
    bytes_total: total,
    bytes_done: Math.round(total * each.part),
    bytes_new: Math.round(total * each.part * 0.05),
    bytes_known: Math.round(total * each.part * 0.95),
    rate: 421e6,
    eta_seconds: Math.round((1 - each.part) * Math.max(54, seconds)),
  };
  each.log = [...each.log, { time: new Date().toISOString(), text: `${phases[place]}: ${Math.round(each.part * 100)} %` }].slice(-200);
}

function finish(state, each, tell) {
  Object.assign(each, { state: 'done', ended: new Date().toISOString(), summary: `${each.kind} finished` });
  each.progress.rate = 0;
  if (each.kind === 'backup') takeSnapshot(state, each);
  if (each.kind === 'restore') addRestored(state, each);
  if (each.kind === 'warm') bringBack(state, each);
  tell({ type: 'apps' });
  tell({ type: 'snapshots' });
}

function takeSnapshot(state, each) {
  const app = state.apps.find((found) => found.id === each.subject);
  const time = new Date().toISOString();
  const tiers = { local: 'present', cloud: state.bucket.health === 'none' ? 'none' : 'shipping' };
  const stats = { bytes_logical: 12e9, bytes_read: 12e9, bytes_new: 6e8, chunks_new: 10, chunks_known: 20, images_known: 1, freeze_ms: 400, duration_ms: 9000 };
  const made = { id: newId(), app: app.name, host: app.host, time, consistency: 'pause', fidelity: 'api', databases: [], trigger: 'manual', policy: app.policy, bytes_logical: 12e9, bytes_new: 6e8, state: tiers, problems: [], stats, forgotten_until: null, locked_until: null };
  state.snapshots.set(app.id, [...(state.snapshots.get(app.id) ?? []), made]);
  const point = { id: made.id, time, bytes_new: made.bytes_new, state: tiers, problems: false };
  Object.assign(app, { state: 'protected', reason: null, last_backup: time, newest: tiers, bytes_logical: 12e9, snapshots: app.snapshots + 1, points: [...app.points, point].slice(-24) });
  each.snapshot = made.id;
}

function bringBack(state, each) {
  const point = [...state.snapshots.values()].flat().find((found) => found.id === each.snapshot);
  if (point) point.state = { ...point.state, local: 'present' };
}

function addRestored(state, each) {
  const original = state.apps.find((found) => found.id === each.subject);
  const name = `${original.name}-restore`;
  if (state.apps.some((app) => app.name === name)) return;
  state.apps.push({ ...original, id: `${original.host}/${name}`, name, policy: null, every_seconds: null, state: 'not_protected', snapshots: 0, points: [], last_backup: null, newest: null });
}
