import type { Mark as Kind } from '~/lib/lanes';
import css from './Lanes.module.css';

const R = 3.4;

/** The state of one copy as a shape: full, half, ring or cross; nothing where there is none. */
export function Mark({ kind, x, y, big }: { kind: Kind; x: number; y: number; big?: boolean }) {
  const r = big ? R + 1.4 : R;
  switch (kind) {
    case 'full':
      return <circle className={css.full} cx={x} cy={y} r={r} />;
    case 'half':
      return <path className={css.half} d={`M${x} ${y - r}A${r} ${r} 0 0 0 ${x} ${y + r}Z`} />;
    case 'ring':
      return <circle className={css.ring} cx={x} cy={y} r={r - 0.4} />;
    case 'cross':
      return <path className={css.cross} d={`M${x - r} ${y - r}l${2 * r} ${2 * r}M${x + r} ${y - r}l${-2 * r} ${2 * r}`} />;
    case 'none':
      return null;
  }
}

/** Something was left out, or looks odd: a small triangle on the bar. */
export function Flag({ x, y }: { x: number; y: number }) {
  return <path className={css.flag} d={`M${x} ${y - 7}l4 6.500h-8Z`} />;
}
