/** What the cache may take, as a form has it; what its bar shows; which points can come back into it. Pure. */
import type { CacheRule, CacheState, TierState } from '~/api/types';

const GB = 1_000_000_000;
/** With less the appliance does not work. */
const SMALLEST_QUOTA = 1024 ** 3;
const MOST_KEPT = 1000;

/** Sizes in GB; an empty quota is what the disk gives, an empty reserve what the appliance chooses. */
export interface RuleDraft {
  quota: string;
  reserve: string;
  keep: string;
  full: CacheRule['when_full'];
}

const inGb = (bytes: number | null | undefined) => (bytes == null ? '' : String(bytes / GB));

/** Bytes of what somebody wrote in GB, with either sign for the fraction: `null` for nothing, `NaN` for what is none. */
export function bytesOf(text: string): number | null {
  const plain = text.trim().replace(',', '.');
  return plain === '' ? null : Math.round(Number(plain) * GB);
}

export const draftOf = (rule: CacheRule): RuleDraft => ({
  quota: inGb(rule.quota_bytes),
  reserve: inGb(rule.reserve_bytes),
  keep: String(rule.keep_newest),
  full: rule.when_full,
});

export const ruleOf = (draft: RuleDraft): CacheRule => ({
  quota_bytes: bytesOf(draft.quota),
  reserve_bytes: bytesOf(draft.reserve),
  keep_newest: Number(draft.keep),
  when_full: draft.full,
});

export function isQuota(text: string): boolean {
  const bytes = bytesOf(text);
  return bytes === null || bytes >= SMALLEST_QUOTA;
}

export function isReserve(text: string): boolean {
  const bytes = bytesOf(text);
  return bytes === null || bytes >= 0;
}

export const isKeep = (text: string): boolean => /^\d{1,4}$/.test(text.trim()) && Number(text) <= MOST_KEPT;

/** Shares of what the cache may take, 0 to 1. What waits for the bucket is often of the newest points: it counts once. */
export function shares({ used_bytes, limit_bytes, unshipped_bytes, newest_bytes }: CacheState) {
  const whole = Math.max(1, used_bytes, limit_bytes);
  const unshipped = Math.min(unshipped_bytes, used_bytes);
  const newest = Math.min(newest_bytes, used_bytes - unshipped);
  return { unshipped: unshipped / whole, newest: newest / whole, rest: (used_bytes - unshipped - newest) / whole };
}

/** What to free down to, in GB, so that the newest points stay: a proposal, rounded up. */
export function proposal({ used_bytes, evictable_bytes, newest_bytes }: CacheState): string {
  const older = Math.max(0, evictable_bytes - newest_bytes);
  return String(Math.ceil(((used_bytes - older) / GB) * 100) / 100);
}

/** Whether a point lies in the bucket and could come back into the cache. */
export const canComeBack = (state: TierState): boolean => state.local !== 'present' && state.cloud === 'present';
