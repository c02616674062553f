import { describe, expect, it } from 'vitest';
import type { AppState, AppView } from '~/api/types';
import { age, attention, byHost, canBackUp, matches } from './apps';

const app = (part: Partial<AppView>): AppView =>
  ({ id: 'edge/a', name: 'a', host: 'edge', state: 'protected', policy: 'gold', snapshots: 1, ...part }) as AppView;

describe('attention', () => {
  it('comes worst first and leaves the calm out', () => {
    const states: AppState[] = ['protected', 'not_protected', 'failed', 'overdue', 'backing_up', 'waiting', 'gone'];
    expect(attention(states.map((state) => app({ state }))).map(({ state }) => state)).toEqual([
      'failed',
      'overdue',
      'not_protected',
    ]);
  });
});

describe('age', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  const at = (last_backup: string | null, every_seconds: number | null = 3600) => age(app({ last_backup, every_seconds }), now);

  it('is a share of what the policy wants', () => {
    expect(at('2026-11-22T11:30:00Z')).toEqual({ share: 0.5, late: false });
    expect(at('2026-11-22T10:00:00Z')).toEqual({ share: 1, late: true });
    expect(at('2026-11-22T12:00:05Z')?.share).toBeGreaterThan(0);
  });

  it('is unknown without a backup or a policy', () => {
    expect(at(null)).toBeNull();
    expect(at('2026-11-22T11:30:00Z', null)).toBeNull();
  });
});

describe('lists', () => {
  it('are found by any word, whatever its case', () => {
    const shop = app({ name: 'shop', host: 'edge-01', policy: 'gold' });
    expect(matches(shop, 'SHOP gold')).toBe(true);
    expect(matches(shop, '01')).toBe(true);
    expect(matches(shop, '')).toBe(true);
    expect(matches(shop, 'shop silver')).toBe(false);
  });

  it('are grouped by host in order', () => {
    const groups = byHost([app({ host: 'b' }), app({ host: 'a' }), app({ host: 'b' })]);
    expect(groups.map(([host, apps]) => [host, apps.length])).toEqual([
      ['a', 1],
      ['b', 2],
    ]);
  });

  it('do not offer a backup where none can be taken', () => {
    expect(canBackUp(app({ state: 'gone' }))).toBe(false);
    expect(canBackUp(app({ state: 'not_protected' }))).toBe(true);
  });
});
