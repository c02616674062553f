import type { LockRule } from '~/api/types';

/** The lock of the bucket as a form has it. Pure. */
export interface LockDraft {
  mode: LockRule['mode'];
  days: string;
}

export const MODES = ['compliance', 'governance'] as const satisfies readonly LockRule['mode'][];

const MOST_DAYS = 3650;

export const draftOf = (rule: LockRule | null): LockDraft => ({
  mode: rule?.mode ?? 'governance',
  days: String(rule?.days ?? 30),
});

/** Whole days, from one to ten years. */
export const isDays = (days: string): boolean =>
  /^\d{1,4}$/.test(days.trim()) && Number(days) >= 1 && Number(days) <= MOST_DAYS;

export const ruleOf = (draft: LockDraft): LockRule => ({ mode: draft.mode, days: Number(draft.days) });
