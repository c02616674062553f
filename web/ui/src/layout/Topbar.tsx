import { ActionIcon, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { IconMenu2, IconMoon, IconSearch, IconSun } from '@tabler/icons-react';
import { useWords } from '~/i18n';
import css from './Shell.module.css';

interface Props {
  onMenu: () => void;
  onSearch: () => void;
}

const COMMAND = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘K' : 'Ctrl K';

export function Topbar({ onMenu, onSearch }: Props) {
  const { t } = useWords();
  return (
    <header className={css.top}>
      <span className={css['only-narrow']}>
        <ActionIcon size="lg" onClick={onMenu} aria-label={t.shell.openNavigation}>
          <IconMenu2 size={22} aria-hidden />
        </ActionIcon>
      </span>
      <button type="button" className={css.find} onClick={onSearch} aria-keyshortcuts="Control+K Meta+K">
        <IconSearch size={16} aria-hidden />
        <span>{t.shell.search}</span>
        <kbd aria-hidden>{COMMAND}</kbd>
      </button>
      <span className="grow" />
      <ThemeToggle />
    </header>
  );
}

/** The other theme, one press away; "as the system" is in the settings. */
export function ThemeToggle() {
  const { t } = useWords();
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('dark');
  const dark = scheme === 'dark';
  return (
    <ActionIcon
      size="lg"
      onClick={() => setColorScheme(dark ? 'light' : 'dark')}
      aria-label={dark ? t.shell.toLight : t.shell.toDark}
    >
      {dark ? <IconSun size={19} aria-hidden /> : <IconMoon size={19} aria-hidden />}
    </ActionIcon>
  );
}
