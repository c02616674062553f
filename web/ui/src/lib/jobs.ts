/** Reading jobs: order, progress, what is final. Pure. */
import type { JobState, JobView, Progress } from '~/api/types';

const FINAL: ReadonlySet<JobState> = new Set(['done', 'done_with_problems', 'failed', 'cancelled', 'interrupted']);

export const isFinal = (state: JobState) => FINAL.has(state);

/** The list with `job` put in its place or on top: newest first. */
export function withJob(jobs: JobView[], job: JobView): JobView[] {
  const known = jobs.some((each) => each.id === job.id);
  return known ? jobs.map((each) => (each.id === job.id ? job : each)) : [job, ...jobs];
}

/** How much is done, 0 to 1; `null` while nothing can be said. Bytes where they are known, else phases. */
export function fraction(progress: Progress): number | null {
  if (shipping(progress) && progress.bytes_new > 0) return clamp(progress.bytes_uploaded / progress.bytes_new);
  if (progress.bytes_total > 0) return clamp(progress.bytes_done / progress.bytes_total);
  if (progress.phases > 0) return clamp((progress.phase_number - 1) / progress.phases);
  return null;
}

/** How full each phase's segment is, 0 to 1, in order. */
export function segments(progress: Progress): number[] {
  const count = Math.max(1, progress.phases);
  const current = Math.max(1, progress.phase_number) - 1;
  const part = progress.bytes_total > 0 || shipping(progress) ? (fraction(progress) ?? 0) : 0.5;
  return Array.from({ length: count }, (_, place) => (place < current ? 1 : place === current ? part : 0));
}

/** `host/app` apart; an empty subject is the whole repository. */
export function subjectParts(subject: string): { host: string; app: string } | null {
  const cut = subject.indexOf('/');
  return cut < 0 ? null : { host: subject.slice(0, cut), app: subject.slice(cut + 1) };
}

/** Running first, then queued, then the rest as they come. */
export function grouped(jobs: JobView[]): { active: JobView[]; past: JobView[] } {
  const active = jobs.filter((job) => !isFinal(job.state));
  const weight = (job: JobView) => (job.state === 'running' ? 0 : 1);
  return { active: active.sort((a, b) => weight(a) - weight(b)), past: jobs.filter((job) => isFinal(job.state)) };
}

const shipping = (progress: Progress) => progress.phase === 'ship';
const clamp = (value: number) => Math.min(1, Math.max(0, value));
