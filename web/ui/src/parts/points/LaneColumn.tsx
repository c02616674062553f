import { useWords } from '~/i18n';
import type { Column } from '~/lib/lanes';
import css from './Lanes.module.css';
import { Flag, Mark } from './Mark';
import { BARS, CLOUD_Y, LOCAL_Y } from './sizes';

interface Props {
  id: string;
  point: Column;
  bytes: number;
  x: number;
  step: number;
  selected: boolean;
  onSelect: (id: string) => void;
}

export function LaneColumn({ id, point, bytes, x, step, selected, onSelect }: Props) {
  const { t, f } = useWords();
  const height = 4 + point.height * (BARS - 8);
  const label = [
    t.apps.pointLabel(f.moment(point.time), f.bytes(bytes), t.apps.mark[point.local], t.apps.mark[point.cloud]),
    point.problems && t.apps.withProblems,
  ].filter(Boolean);
  return (
    <g
      id={id}
      role="option"
      aria-selected={selected}
      aria-label={label.join(', ')}
      className={css.column}
      onClick={() => onSelect(point.id)}
    >
      <rect className={css.hit} x={x - step / 2 + 1} y={0} width={step - 2} height={CLOUD_Y + 10} rx={6} />
      <rect className={css.bar} x={x - 1.5} y={8 + BARS - height} width={3} height={height} rx={1} />
      {point.problems && <Flag x={x} y={8 + BARS - height - 1} />}
      <Mark kind={point.local} x={x} y={LOCAL_Y} big={selected} />
      <Mark kind={point.cloud} x={x} y={CLOUD_Y} big={selected} />
    </g>
  );
}
