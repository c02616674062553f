import { createTheme, type MantineThemeOverride } from '@mantine/core';

/** A dialog's heading row is no second banner of the page. */
const NO_BANNER = { header: { role: 'none' } };

/** Shape and type only; colours live in styles/tokens.css, by scheme. */
export const theme: MantineThemeOverride = createTheme({
  primaryColor: 'teal',
  // Mantine paints fields, menus and borders of the dark scheme from this row, brightest first.
  colors: {
    dark: [
      '#e8edf1',
      '#c3ccd4',
      '#9aa7b3',
      '#7f8c98',
      '#35414c',
      '#222b34',
      '#0e1318',
      '#12181e',
      '#0e1318',
      '#0b0f13',
    ],
  },
  fontFamily: "'Inter', system-ui, sans-serif",
  fontFamilyMonospace: "'JetBrains Mono', ui-monospace, monospace",
  defaultRadius: 'md',
  respectReducedMotion: true,
  focusRing: 'auto',
  cursorType: 'pointer',
  components: {
    Button: {
      defaultProps: { size: 'sm', variant: 'default' },
      vars: (_theme: unknown, props: { variant?: string; color?: string }) => {
        if (props.variant !== 'filled') return { root: {} };
        const danger = props.color === 'red';
        return {
          root: {
            '--button-bg': danger ? 'var(--hf-danger)' : 'var(--hf-accent)',
            '--button-hover': danger ? 'var(--hf-bad)' : 'var(--hf-accent-hover)',
            '--button-color': danger ? 'var(--hf-on-danger)' : 'var(--hf-on-accent)',
          },
        };
      },
    },
    ActionIcon: { defaultProps: { variant: 'subtle', color: 'gray' } },
    Drawer: {
      defaultProps: {
        position: 'right',
        size: 560,
        overlayProps: { backgroundOpacity: 0.6, blur: 4 },
        attributes: NO_BANNER,
      },
    },
    Modal: {
      defaultProps: { centered: true, overlayProps: { backgroundOpacity: 0.6, blur: 4 }, attributes: NO_BANNER },
    },
    Tooltip: { defaultProps: { withArrow: true, events: { hover: true, focus: true, touch: false } } },
  },
});
