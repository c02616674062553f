import { SegmentedControl, useMantineColorScheme, type MantineColorScheme } from '@mantine/core';
import { LANGUAGES, useWords, type Language } from '~/i18n';
import { Panel } from '~/parts/Panel';

const THEMES: MantineColorScheme[] = ['auto', 'light', 'dark'];

/** Language and theme, kept in this browser. */
export function LookPanel() {
  const { t, language, setLanguage } = useWords();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Panel title={`${t.admin.language} · ${t.admin.theme}`}>
      <div className="row" style={{ gap: '1rem' }}>
        <SegmentedControl
          aria-label={t.admin.language}
          data={LANGUAGES}
          value={language}
          onChange={(next) => setLanguage(next as Language)}
        />
        <SegmentedControl
          aria-label={t.admin.theme}
          data={THEMES.map((theme) => ({ value: theme, label: t.admin.themes[theme] }))}
          value={colorScheme}
          onChange={(next) => setColorScheme(next as MantineColorScheme)}
        />
      </div>
    </Panel>
  );
}
