import type { PointView } from '~/api/types';
import { useWords } from '~/i18n';
import css from './charts.module.css';

const COLUMNS = 24;
const STEP = 5;
const HEIGHT = 26;

/** The newest restore points as bars: height is new data, a notch on top means that something was left out. */
export function Spark({ points }: { points: PointView[] }) {
  const { t, f } = useWords();
  const shown = points.slice(-COLUMNS);
  const top = Math.max(1, ...shown.map((point) => point.bytes_new));
  const problems = shown.filter((point) => point.problems).length;
  return (
    <svg
      className={css.spark}
      width={COLUMNS * STEP}
      height={HEIGHT}
      role="img"
      aria-label={t.apps.spark(f.number(shown.length), f.number(problems))}
    >
      {shown.length === 0 && <line className={css.nothing} x1={0} x2={COLUMNS * STEP} y1={HEIGHT - 1} y2={HEIGHT - 1} />}
      {shown.map((point, place) => {
        const height = 5 + Math.sqrt(point.bytes_new / top) * (HEIGHT - 9);
        const x = (COLUMNS - shown.length + place) * STEP;
        return (
          <g key={point.id} className={point.problems ? css.hurt : css.fine}>
            <rect x={x} y={HEIGHT - height} width={3} height={height} rx={1} />
            {point.problems && <rect x={x} y={HEIGHT - height - 3.5} width={3} height={2} rx={1} />}
          </g>
        );
      })}
    </svg>
  );
}
