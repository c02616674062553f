import type { ReactNode } from 'react';
import type { Tone } from '~/lib/apps';
import css from './Pill.module.css';

/** A state in one word; the dot's shape says the same as its colour. */
export function Pill({ tone, icon, children }: { tone: Tone; icon?: ReactNode; children: ReactNode }) {
  return (
    <span className={`${css.pill} ${css[tone]}`}>
      {icon ?? <span className={css.dot} aria-hidden />}
      {children}
    </span>
  );
}
