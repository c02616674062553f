import { describe, expect, it } from 'vitest';
import { draftOf, isDays, ruleOf } from './lock';

describe('the lock of the bucket', () => {
  it('comes back from the form as it went in', () => {
    const rule = { mode: 'compliance' as const, days: 90 };
    expect(ruleOf(draftOf(rule))).toEqual(rule);
  });

  it('begins with one that its owner can still end', () => {
    expect(ruleOf(draftOf(null))).toEqual({ mode: 'governance', days: 30 });
  });

  it('lasts whole days, from one to ten years', () => {
    expect(['1', ' 30 ', '3650'].every(isDays)).toBe(true);
    expect(['', '0', '3651', '1.5', '-3', 'ten', '1e3'].some(isDays)).toBe(false);
  });
});
