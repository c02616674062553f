import { describe, expect, it } from 'vitest';
import { every, formats } from './format';

const en = formats('en-US', 'UTC');
const de = formats('de-DE', 'Europe/Berlin');
const plain = (text: string) => text.replace(/[\u00a0\u202f]/g, ' ');

describe('sizes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1 kB'],
    [48_200_000, '48.2 MB'],
    [999_600, '1 MB'],
    [412e9, '412 GB'],
    [1.2e12, '1.2 TB'],
    [-5, '0 B'],
  ])('%d bytes read as %s', (bytes, text) => expect(plain(en.bytes(bytes))).toBe(text));

  it('speak German', () => {
    expect(plain(de.bytes(1.25e12))).toBe('1,3 TB');
    expect(plain(de.rate(48.2e6))).toBe('48,2 MB/s');
  });
});

describe('times', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');

  it.each([
    ['2026-11-22T11:59:30Z', '30 sec. ago'],
    ['2026-11-22T11:13:00Z', '47 min. ago'],
    ['2026-11-22T09:00:00Z', '3 hr. ago'],
    ['2026-11-19T12:00:00Z', '3 days ago'],
    ['2026-11-22T13:00:00Z', 'in 1 hr.'],
  ])('%s is %s', (time, text) => expect(plain(en.ago(time, now))).toBe(text));

  it('say the moment with its zone', () => {
    expect(plain(en.moment('2026-11-21T23:35:00Z'))).toBe('Sat, Nov 21, 11:35 PM UTC');
    expect(plain(de.moment('2026-11-21T23:35:00Z'))).toContain('22. Nov');
  });

  it.each([
    [0, '0 s'],
    [54, '54 s'],
    [247, '4 min 7 s'],
    [3600, '1 h'],
    [90_000, '1 d 1 h'],
  ])('%d seconds last %s', (seconds, text) => expect(plain(en.duration(seconds))).toBe(text));
});

describe('intervals', () => {
  it.each([
    [60, 1, 'minute'],
    [3600, 1, 'hour'],
    [21_600, 6, 'hour'],
    [86_400, 1, 'day'],
    [604_800, 1, 'week'],
    [5400, 90, 'minute'],
  ] as const)('%d seconds are %d %s', (seconds, count, unit) => expect(every(seconds)).toEqual({ count, unit }));
});
