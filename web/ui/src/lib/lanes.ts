/** Restore points as lanes: one column per point, one row per tier. Pure. */
import type { SnapshotView } from '~/api/types';

/** What a lane shows: full dot, half dot, ring, cross or nothing. */
export type Mark = 'full' | 'half' | 'ring' | 'cross' | 'none';

export interface Column {
  id: string;
  time: string;
  /** New data against the largest shown, 0 to 1, on a root scale so that small days stay visible. */
  height: number;
  local: Mark;
  cloud: Mark;
  problems: boolean;
  /** First point of its day. */
  newDay: boolean;
}

/** More columns than this only cost: the list has the rest. */
export const MOST_COLUMNS = 120;

export function columns(snapshots: SnapshotView[], dayOf: (time: string) => string): Column[] {
  const shown = snapshots.slice(-MOST_COLUMNS);
  const largest = Math.max(1, ...shown.map((snapshot) => snapshot.bytes_new));
  return shown.map((snapshot, place) => {
    const before = shown[place - 1];
    return {
      id: snapshot.id,
      time: snapshot.time,
      height: Math.sqrt(snapshot.bytes_new / largest),
      local: localMark(snapshot),
      cloud: cloudMark(snapshot),
      problems: snapshot.problems.some((problem) => problem.severity !== 'note'),
      newDay: before === undefined || dayOf(before.time) !== dayOf(snapshot.time),
    };
  });
}

function localMark({ state }: SnapshotView): Mark {
  return state.local === 'present' ? 'full' : state.local === 'partial' ? 'half' : 'none';
}

function cloudMark({ state }: SnapshotView): Mark {
  switch (state.cloud) {
    case 'present':
      return 'full';
    case 'shipping':
      return 'ring';
    case 'damaged':
      return 'cross';
    default:
      return 'none';
  }
}

/** Day labels that do not touch: at least `gap` columns apart. A short first day gives way to the next. */
export function dayTicks(points: Column[], gap: number): number[] {
  const days = points.flatMap((point, place) => (point.newDay ? [place] : []));
  const second = days[1];
  let last = -Infinity;
  return days.slice(second !== undefined && second < gap ? 1 : 0).filter((place) => {
    if (place - last < gap) return false;
    last = place;
    return true;
  });
}

/** Whole days between the first and the last point, at least 1. */
export function spanDays(points: { time: string }[]): number {
  const [first, last] = [points[0], points[points.length - 1]];
  if (!first || !last) return 0;
  return Math.max(1, Math.round((Date.parse(last.time) - Date.parse(first.time)) / 86_400_000));
}
