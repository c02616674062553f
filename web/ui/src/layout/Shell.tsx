import { Drawer } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import { Outlet } from '@tanstack/react-router';
import { LinkProvider } from '~/api/link';
import { useWords } from '~/i18n';
import { RestoreProvider } from '~/restore/RestoreProvider';
import { Banners } from './Banners';
import { Search } from './Search';
import css from './Shell.module.css';
import { Sidebar } from './Sidebar';
import { Topbar } from './Topbar';

/** The frame around every page of a logged-in person. */
export function Shell() {
  const { t } = useWords();
  const [menu, setMenu] = useDisclosure(false);
  const [search, setSearch] = useDisclosure(false);
  useHotkeys([['mod+K', setSearch.open]], []);
  return (
    <LinkProvider>
      <RestoreProvider>
        <a href="#content" className={css.skip}>
          {t.shell.skip}
        </a>
        <div className={css.frame}>
          <aside className={`${css.side} ${css.fixed}`} aria-label="Holdfast">
            <Sidebar />
          </aside>
          <Drawer
            opened={menu}
            onClose={setMenu.close}
            position="left"
            size={280}
            title="Holdfast"
            closeButtonProps={{ 'aria-label': t.common.close }}
          >
            <div className="stack" style={{ gap: '1rem', minHeight: '80vh' }}>
              <Sidebar onNavigate={setMenu.close} />
            </div>
          </Drawer>
          <div className={css.content}>
            <div className={css.inner}>
              <Topbar onMenu={setMenu.open} onSearch={setSearch.open} />
              <main id="content" tabIndex={-1}>
                <Banners />
                <Outlet />
              </main>
            </div>
          </div>
        </div>
        <Search opened={search} onClose={setSearch.close} />
      </RestoreProvider>
    </LinkProvider>
  );
}
