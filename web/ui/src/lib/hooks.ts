/** Reading commands around backups. Pure. */
import type { ServiceHooks, ServiceHooksView } from '~/api/types';

export const HOOK_COMMANDS = ['dump', 'pre', 'post'] as const;
export type HookCommand = (typeof HOOK_COMMANDS)[number];

/** Who says what holds of a command; null if nobody says anything. */
export function saidBy({ labels, set }: ServiceHooksView, kind: HookCommand): 'label' | 'set' | 'off' | null {
  if (set[kind] === '') return labels[kind] === null ? null : 'off';
  if (set[kind] !== null) return 'set';
  return labels[kind] === null ? null : 'label';
}

/** What a form says: what is empty is not set. Null if nothing is. */
export function hooksToSend(form: ServiceHooks): ServiceHooks | null {
  const text = (value: string | null) => (value === null || value.trim() === '' ? null : value);
  const hooks = {
    dump: text(form.dump),
    pre: text(form.pre),
    post: text(form.post),
    user: text(form.user),
    timeout_seconds: form.timeout_seconds,
  };
  return Object.values(hooks).every((value) => value === null) ? null : hooks;
}
