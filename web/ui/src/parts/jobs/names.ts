import type { JobView } from '~/api/types';
import type { Words } from '~/i18n';
import { subjectParts } from '~/lib/jobs';

/** `Backup · shop`: how a job is called everywhere. */
export function jobName(job: Pick<JobView, 'kind' | 'subject'>, { t }: Words): string {
  const app = subjectParts(job.subject)?.app ?? (job.subject || t.jobs.repository);
  return `${t.jobs.kind[job.kind]} · ${app}`;
}

/** Phase, bytes, rate, time left: what is known, joined by dots. */
export function jobFacts({ state, progress }: JobView, { t, f }: Words): string {
  if (state === 'queued') return t.jobs.waiting;
  const facts = [phaseName(progress.phase, t)];
  if (progress.bytes_total > 0) facts.push(t.jobs.bytesOf(f.bytes(progress.bytes_done), f.bytes(progress.bytes_total)));
  else if (progress.bytes_done > 0) facts.push(f.bytes(progress.bytes_done));
  if (progress.rate > 0) facts.push(f.rate(progress.rate));
  if (progress.eta_seconds !== null && progress.eta_seconds !== undefined) facts.push(t.jobs.left(f.duration(progress.eta_seconds)));
  if (progress.bytes_known > 0) facts.push(t.jobs.known(f.bytes(progress.bytes_known)));
  return facts.filter(Boolean).join(' · ');
}

/** Phases the catalogue does not know appear as the appliance calls them. */
export function phaseName(phase: string, t: Words['t']): string {
  return t.jobs.phase[phase] ?? phase.charAt(0).toUpperCase() + phase.slice(1).replaceAll('_', ' ');
}
