import { IconAlertTriangle, IconCircleCheck, IconCircleX, IconInfoCircle } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import type { Tone } from '~/lib/apps';
import css from './Notice.module.css';

const ICONS = {
  good: IconCircleCheck,
  warn: IconAlertTriangle,
  bad: IconCircleX,
  busy: IconInfoCircle,
  calm: IconInfoCircle,
} as const;

interface Props {
  tone: Tone;
  title: ReactNode;
  children?: ReactNode;
  action?: ReactNode;
  /** Announced as soon as it appears. */
  live?: boolean;
}

/** Something to know, with a shape and words beside the colour. */
export function Notice({ tone, title, children, action, live }: Props) {
  const Icon = ICONS[tone];
  return (
    <div className={`${css.notice} ${css[tone]}`} role={live ? 'alert' : undefined}>
      <Icon size={18} aria-hidden />
      <div className={css.body}>
        <strong>{title}</strong>
        {children && <div className={css.text}>{children}</div>}
      </div>
      {action}
    </div>
  );
}

/** Nothing there yet: says the next act. */
export function Empty({ title, children, action }: { title: ReactNode; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className={css.empty}>
      <strong>{title}</strong>
      {children && <span>{children}</span>}
      {action}
    </div>
  );
}
