import { IconAnchor } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import brand from './Sidebar.module.css';
import css from './Entry.module.css';
import { ThemeToggle } from './Topbar';

/** The frame of pages that come before the log-in. */
export function Entry({ children }: { children: ReactNode }) {
  return (
    <div className={css.frame}>
      <header className={css.top}>
        <ThemeToggle />
      </header>
      <main className={css.box}>
        <div className={css.brand}>
          <span className={brand.mark}>
            <IconAnchor size={19} aria-hidden />
          </span>
          Holdfast
        </div>
        {children}
      </main>
    </div>
  );
}
