import { useWords } from '~/i18n';
import type { Column, Mark as Kind } from '~/lib/lanes';
import css from './Lanes.module.css';
import { Flag, Mark } from './Mark';

const KINDS = ['full', 'half', 'ring', 'cross'] as const;

/** Only the shapes that are in sight. */
export function Legend({ points }: { points: Column[] }) {
  const { t } = useWords();
  const seen = new Set<Kind>(points.flatMap((point) => [point.local, point.cloud]));
  return (
    <div className={css.legend}>
      {KINDS.filter((kind) => seen.has(kind)).map((kind) => (
        <span key={kind}>
          <svg width={12} height={12} aria-hidden>
            <Mark kind={kind} x={6} y={6} />
          </svg>
          {t.apps.legend[kind]}
        </span>
      ))}
      {points.some((point) => point.problems) && (
        <span>
          <svg width={12} height={12} aria-hidden>
            <Flag x={6} y={10} />
          </svg>
          {t.apps.legend.problems}
        </span>
      )}
    </div>
  );
}
