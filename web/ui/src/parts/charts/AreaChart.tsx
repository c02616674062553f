import type { ActivityPoint } from '~/api/types';
import { useWords } from '~/i18n';
import css from './charts.module.css';

const WIDTH = 360;
const HEIGHT = 104;
const PAD = 4;
const TICKS = 20;

/** Two curves over the same hours; the sum in words is its text twin. */
export function AreaChart({ points }: { points: ActivityPoint[] }) {
  const { t, f } = useWords();
  const top = Math.max(1, ...points.map((point) => Math.max(point.captured, point.uploaded)));
  const x = (place: number) => (place / Math.max(1, points.length - 1)) * WIDTH;
  const y = (value: number) => PAD + (1 - value / top) * (HEIGHT - PAD);
  const line = (value: (point: ActivityPoint) => number) =>
    points.map((point, place) => `${place === 0 ? 'M' : 'L'}${x(place).toFixed(1)} ${y(value(point)).toFixed(1)}`).join('');
  const captured = line((point) => point.captured);
  const uploaded = line((point) => point.uploaded);
  const close = `L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`;
  const sum = (value: (point: ActivityPoint) => number) => f.bytes(points.reduce((all, point) => all + value(point), 0));
  const first = points[0];
  const label = first
    ? t.overview.chart(
        f.moment(first.time),
        sum((point) => point.captured),
        sum((point) => point.uploaded),
      )
    : t.overview.newData;
  return (
    <svg className={css.area} viewBox={`0 0 ${WIDTH} ${HEIGHT + TICKS}`} role="img" aria-label={label}>
      {[0.25, 0.5, 0.75, 1].map((part) => (
        <line key={part} className={css.grid} x1={0} x2={WIDTH} y1={y(top * part)} y2={y(top * part)} />
      ))}
      {points.length > 1 && (
        <>
          <path className={css['captured-fill']} d={captured + close} />
          <path className={css['uploaded-fill']} d={uploaded + close} />
          <path className={css.captured} d={captured} />
          <path className={css.uploaded} d={uploaded} />
        </>
      )}
      {dayStarts(points, (time) => f.weekday(time)).map(({ place, label: day }) => (
        <text key={place} className={css.tick} x={x(place)} y={HEIGHT + 15}>
          {day}
        </text>
      ))}
    </svg>
  );
}

/** Where a new weekday begins; the first point counts when its day has room for a label. */
function dayStarts(points: ActivityPoint[], day: (time: string) => string): { place: number; label: string }[] {
  const starts = points.flatMap((point, place) => {
    const before = points[place - 1];
    const label = day(point.time);
    return before === undefined || day(before.time) !== label ? [{ place, label }] : [];
  });
  const [first, second] = starts;
  return first && second && second.place - first.place < 8 ? starts.slice(1) : starts;
}
