import { describe, expect, it } from 'vitest';
import type { CacheState } from '~/api/types';
import { bytesOf, canComeBack, draftOf, isKeep, isQuota, isReserve, proposal, ruleOf, shares } from './cache';

describe('what the cache may take', () => {
  const decided = { quota_bytes: 500_000_000_000, reserve_bytes: null, keep_newest: 2, when_full: 'refuse' as const };

  it('comes back from the form as it went in', () => {
    expect(draftOf(decided)).toEqual({ quota: '500', reserve: '', keep: '2', full: 'refuse' });
    for (const rule of [decided, { ...decided, quota_bytes: null, reserve_bytes: 1_073_741_824 }]) {
      expect(ruleOf(draftOf(rule))).toEqual(rule);
    }
  });

  it('is read in gigabytes, with either sign for the fraction', () => {
    expect(bytesOf(' 1,5 ')).toBe(1_500_000_000);
    expect(bytesOf('1.5')).toBe(1_500_000_000);
    expect(bytesOf(' ')).toBeNull();
    expect(bytesOf('much')).toBeNaN();
  });

  it('is refused where it cannot be kept', () => {
    expect([isQuota(''), isQuota('1.1'), isQuota('1'), isQuota('much'), isQuota('-5')]).toEqual([true, true, false, false, false]);
    expect([isReserve(''), isReserve('0'), isReserve('-1'), isReserve('much')]).toEqual([true, true, false, false]);
    expect([isKeep('0'), isKeep('1000'), isKeep('1001'), isKeep(''), isKeep('1.5'), isKeep('-1')]).toEqual([true, true, false, false, false, false]);
  });
});

describe('the bar of the cache', () => {
  const state = (part: Partial<CacheState>) =>
    ({ used_bytes: 80, limit_bytes: 100, unshipped_bytes: 20, newest_bytes: 30, evictable_bytes: 55, ...part }) as CacheState;

  it('adds up to what is used, whatever is counted twice', () => {
    expect(shares(state({}))).toEqual({ unshipped: 0.2, newest: 0.3, rest: 0.3 });
    for (const part of [{}, { newest_bytes: 80 }, { unshipped_bytes: 200 }, { unshipped_bytes: 80, newest_bytes: 80 }]) {
      const { unshipped, newest, rest } = shares(state(part));
      expect(unshipped + newest + rest).toBeCloseTo(0.8);
      expect(Math.min(unshipped, newest, rest)).toBeGreaterThanOrEqual(0);
    }
  });

  it('is full, not more, when it may take less than it has', () => {
    const { unshipped, newest, rest } = shares(state({ limit_bytes: 10 }));
    expect(unshipped + newest + rest).toBeCloseTo(1);
    expect(shares(state({ used_bytes: 0, limit_bytes: 0, unshipped_bytes: 0, newest_bytes: 0 })).rest).toBe(0);
  });
});

describe('freeing space', () => {
  const state = (used: number, evictable: number, newest: number) =>
    ({ used_bytes: used * 1e9, evictable_bytes: evictable * 1e9, newest_bytes: newest * 1e9 }) as CacheState;

  it('is proposed so that the newest points stay', () => {
    expect(proposal(state(80, 55, 30))).toBe('55');
    expect(proposal(state(80.001, 0, 30))).toBe('80.01');
    expect(proposal(state(80, 10, 30))).toBe('80');
  });
});

describe('a restore point', () => {
  it('comes back only from a bucket that has all of it, and only where something is missing', () => {
    expect(canComeBack({ local: 'absent', cloud: 'present' })).toBe(true);
    expect(canComeBack({ local: 'partial', cloud: 'present' })).toBe(true);
    expect(canComeBack({ local: 'present', cloud: 'present' })).toBe(false);
    expect(canComeBack({ local: 'partial', cloud: 'shipping' })).toBe(false);
    expect(canComeBack({ local: 'absent', cloud: 'damaged' })).toBe(false);
  });
});
