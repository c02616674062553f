import { VisuallyHidden } from '@mantine/core';
import { useId, type ReactNode } from 'react';
import css from './Panel.module.css';

interface Props {
  title?: ReactNode;
  aside?: ReactNode;
  /** The heading is only for those who hear the page. */
  quiet?: boolean;
  /** Content reaches the edges, as tables do. */
  flush?: boolean;
  children: ReactNode;
}

/** A card with a heading; each loads and fails alone. */
export function Panel({ title, aside, quiet, flush, children }: Props) {
  const id = useId();
  return (
    <section className={flush ? `${css.panel} ${css.flush}` : css.panel} aria-labelledby={title ? id : undefined}>
      {title && quiet && <VisuallyHidden id={id} component="h2" children={title} />}
      {title && !quiet && (
        <div className={css.head}>
          <h2 id={id}>{title}</h2>
          {aside && <div className={css.aside}>{aside}</div>}
        </div>
      )}
      {children}
    </section>
  );
}
