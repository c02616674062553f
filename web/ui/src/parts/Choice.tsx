import { useId, type ReactNode } from 'react';
import css from './Choice.module.css';

export interface Option<Value extends string> {
  value: Value;
  label: string;
  hint?: ReactNode;
  icon?: ReactNode;
  disabled?: boolean;
}

interface Props<Value extends string> {
  label: string;
  options: Option<Value>[];
  value: Value;
  onChange: (value: Value) => void;
  /** Columns of the grid on wide screens. */
  columns?: number;
  /** The label is only for those who hear the page. */
  quiet?: boolean;
  /** Icon above the words. */
  tall?: boolean;
}

/** One of a few, as cards: native radio buttons, so arrows and screen readers work. */
export function Choice<Value extends string>({ label, options, value, onChange, columns = 1, quiet, tall }: Props<Value>) {
  const name = useId();
  const least = columns > 2 ? '8.5rem' : columns > 1 ? '11rem' : '100%';
  return (
    <fieldset className={css.group}>
      <legend className={quiet ? css.quiet : css.legend}>{label}</legend>
      <div className={css.grid} style={{ gridTemplateColumns: `repeat(auto-fit, minmax(min(100%, ${least}), 1fr))` }}>
        {options.map((option) => (
          <label key={option.value} className={tall ? `${css.card} ${css.tall}` : css.card}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={option.value === value}
              disabled={option.disabled}
              onChange={() => onChange(option.value)}
            />
            {option.icon}
            <span>
              <span className={css.label}>{option.label}</span>
              {option.hint && <span className={css.hint}>{option.hint}</span>}
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
