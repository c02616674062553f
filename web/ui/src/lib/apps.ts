/** Reading apps: tone of a state, age against the policy, filters and groups. Pure. */
import type { AppState, AppView, JobState } from '~/api/types';

/** Tone of a pill; the words are the catalogue's. */
export type Tone = 'good' | 'warn' | 'bad' | 'busy' | 'calm';

const APP_TONES: Record<AppState, Tone> = {
  protected: 'good',
  backing_up: 'busy',
  cloud_behind: 'warn',
  overdue: 'warn',
  failed: 'bad',
  problems: 'warn',
  not_protected: 'calm',
  waiting: 'busy',
  unreachable: 'bad',
  gone: 'calm',
};
const JOB_TONES: Record<JobState, Tone> = {
  queued: 'calm',
  running: 'busy',
  done: 'good',
  done_with_problems: 'warn',
  failed: 'bad',
  cancelled: 'calm',
  interrupted: 'warn',
};

export const appTone = (state: AppState): Tone => APP_TONES[state];
export const jobTone = (state: JobState): Tone => JOB_TONES[state];

const LOOK_AT: readonly AppState[] = ['failed', 'unreachable', 'overdue', 'cloud_behind', 'problems', 'not_protected'];

/** Apps that need somebody to look, worst first. */
export function attention(apps: AppView[]): AppView[] {
  return apps
    .filter((app) => LOOK_AT.includes(app.state))
    .sort((a, b) => LOOK_AT.indexOf(a.state) - LOOK_AT.indexOf(b.state));
}

export interface Age {
  /** Share of the policy's interval that has passed, 0 to 1. */
  share: number;
  late: boolean;
}

/** How old the last good backup is against what the policy wants; `null` without a policy or backup. */
export function age(app: AppView, now: number): Age | null {
  if (!app.last_backup || !app.every_seconds) return null;
  const passed = (now - Date.parse(app.last_backup)) / 1000 / app.every_seconds;
  // The scheduler may start a little late, and the backup itself takes time.
  return { share: Math.min(1, Math.max(0.03, passed)), late: passed > 1.5 };
}

/** Case-blind search over name, host and policy. */
export function matches(app: AppView, words: string): boolean {
  const text = `${app.name} ${app.host} ${app.policy ?? ''}`.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** Apps by host, hosts in order of their names. */
export function byHost(apps: AppView[]): [host: string, apps: AppView[]][] {
  const groups = new Map<string, AppView[]>();
  for (const app of apps) groups.set(app.host, [...(groups.get(app.host) ?? []), app]);
  return [...groups].sort(([a], [b]) => a.localeCompare(b));
}

/** Whether there is a point to restore. */
export const canRestore = (app: AppView) => app.snapshots > 0;
/** Whether the host can be asked for a backup. */
export const canBackUp = (app: AppView) => !['gone', 'unreachable', 'backing_up'].includes(app.state);
