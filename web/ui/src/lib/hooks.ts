/** Reading commands around backups. Pure. */
import type { ServiceHooks, ServiceHooksView } from '~/api/types';

export const HOOK_COMMANDS = ['dump', 'pre', 'post'] as const;
export type HookCommand = (typeof HOOK_COMMANDS)[number];

/** Who says what holds of a command; null if nobody says anything. Set to nothing, the label's is taken away. */
export function saidBy({ labels, set }: ServiceHooksView, kind: HookCommand): 'label' | 'set' | 'off' | null {
  const label = labels[kind] || null;
  if (set[kind] === '') return label === null ? null : 'off';
  if (set[kind] !== null) return 'set';
  return label === null ? null : 'label';
}

/** What a form says: blanks are not set, and nothing at all takes a label's away. Null if nothing is set. */
export function hooksToSend(form: ServiceHooks): ServiceHooks | null {
  const text = (value: string | null) => (value !== null && value !== '' && value.trim() === '' ? null : value);
  const hooks = {
    dump: text(form.dump),
    pre: text(form.pre),
    post: text(form.post),
    user: text(form.user),
    timeout_seconds: form.timeout_seconds,
  };
  return Object.values(hooks).every((value) => value === null) ? null : hooks;
}
