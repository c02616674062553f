import { describe, expect, it } from 'vitest';
import type { SnapshotView } from '~/api/types';
import { columns, dayTicks, MOST_COLUMNS, spanDays } from './lanes';

const day = (time: string) => time.slice(0, 10);

function snapshot(time: string, part: Partial<SnapshotView> = {}): SnapshotView {
  const state = { local: 'present', cloud: 'present' } as const;
  return { id: time, time, bytes_new: 100, state, problems: [], ...part } as SnapshotView;
}

describe('columns', () => {
  it('show each tier by its own shape', () => {
    const states = [
      { local: 'present', cloud: 'shipping' },
      { local: 'partial', cloud: 'damaged' },
      { local: 'absent', cloud: 'present' },
      { local: 'present', cloud: 'none' },
    ] as const;
    const marks = columns(
      states.map((state, hour) => snapshot(`2026-11-22T0${hour}:00:00Z`, { state })),
      day,
    ).map(({ local, cloud }) => [local, cloud]);
    expect(marks).toEqual([
      ['full', 'ring'],
      ['half', 'cross'],
      ['none', 'full'],
      ['full', 'none'],
    ]);
  });

  it('keep small days visible beside large ones', () => {
    const [small, large] = columns(
      [snapshot('2026-11-21T00:00:00Z', { bytes_new: 1 }), snapshot('2026-11-22T00:00:00Z', { bytes_new: 100 })],
      day,
    );
    expect(small?.height).toBeCloseTo(0.1);
    expect(large?.height).toBe(1);
    expect([small?.newDay, large?.newDay]).toEqual([true, true]);
  });

  it('flag what left something out, not what only has a note', () => {
    const problem = (severity: 'note' | 'warning') => ({ severity, code: 'x', subject: '', message: '', advice: '' });
    const flags = columns(
      [
        snapshot('2026-11-21T00:00:00Z', { problems: [problem('note')] }),
        snapshot('2026-11-22T00:00:00Z', { problems: [problem('warning')] }),
      ],
      day,
    ).map((column) => column.problems);
    expect(flags).toEqual([false, true]);
  });

  it('show the newest when there are too many, and survive none', () => {
    const many = Array.from({ length: MOST_COLUMNS + 5 }, (_, place) => snapshot(`2026-01-01T00:00:${place}Z`));
    expect(columns(many, day)[0]?.id).toBe(many[5]?.id);
    expect(columns([], day)).toEqual([]);
  });
});

describe('days', () => {
  it('are labelled without touching', () => {
    const points = columns(
      ['21', '22', '23', '24'].map((date) => snapshot(`2026-11-${date}T00:00:00Z`)),
      day,
    );
    expect(dayTicks(points, 1)).toEqual([0, 1, 2, 3]);
    expect(dayTicks(points, 2)).toEqual([1, 3]);
    expect(dayTicks(points.slice(0, 1), 9)).toEqual([0]);
  });

  it('are counted from the first to the last', () => {
    expect(spanDays([])).toBe(0);
    expect(spanDays([{ time: '2026-11-08T00:00:00Z' }, { time: '2026-11-22T00:00:00Z' }])).toBe(14);
  });
});
