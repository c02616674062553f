import { describe, expect, it } from 'vitest';
import { draftOf, isSpeed, isWindow, NEW_WINDOW, uploadsOf } from './uploads';

describe('limits of uploads', () => {
  const decided = {
    paused: true,
    bytes_per_second: 2_500_000,
    requests_per_second: 9,
    windows: [
      { days: 'workdays' as const, from: '08:00', until: '18:00', bytes_per_second: 0 },
      { days: 'all' as const, from: '22:00', until: '06:00', bytes_per_second: null },
    ],
  };

  it('come back from the form as they went in', () => {
    expect(draftOf(decided).windows[0]?.speed).toBe('0');
    expect(draftOf(decided).windows[1]?.speed).toBe('');
    expect(uploadsOf(draftOf(decided), decided)).toEqual(decided);
  });

  it('are read in megabytes, with either sign for the fraction', () => {
    const draft = { speed: ' 0,5 ', windows: [] };
    expect(uploadsOf(draft, decided).bytes_per_second).toBe(500_000);
    expect(uploadsOf({ ...draft, speed: '' }, decided).bytes_per_second).toBeNull();
  });

  it('are refused where they cannot be kept', () => {
    expect(isSpeed('', false)).toBe(true);
    expect(isSpeed('0', false)).toBe(false);
    expect(isSpeed('0', true)).toBe(true);
    expect(isSpeed('fast', true)).toBe(false);
    expect(isSpeed('0.001', true)).toBe(false);
    expect(isSpeed('0.0163', true)).toBe(false);
    expect(isSpeed('0.016384', false)).toBe(true);
    expect(isWindow(NEW_WINDOW)).toBe(true);
    expect(isWindow({ ...NEW_WINDOW, until: NEW_WINDOW.from })).toBe(false);
    expect(isWindow({ ...NEW_WINDOW, from: '' })).toBe(false);
    expect(isWindow({ ...NEW_WINDOW, until: '24:00' })).toBe(true);
    expect(isWindow({ ...NEW_WINDOW, from: '24:00' })).toBe(false);
    expect(isWindow({ ...NEW_WINDOW, until: '24:01' })).toBe(false);
    expect(isWindow({ ...NEW_WINDOW, until: '8:00' })).toBe(false);
  });
});
