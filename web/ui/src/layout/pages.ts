import {
  IconActivity,
  IconBox,
  IconHistory,
  IconLayoutDashboard,
  IconServer,
  IconSettings,
  IconShieldCheck,
  IconStack2,
} from '@tabler/icons-react';

/** The pages of the main menu, in order; names are keys of the catalogue. */
export const PAGES = [
  { to: '/', name: 'overview', icon: IconLayoutDashboard },
  { to: '/apps', name: 'apps', icon: IconBox },
  { to: '/restore', name: 'restore', icon: IconHistory },
  { to: '/jobs', name: 'jobs', icon: IconActivity },
  { to: '/policies', name: 'policies', icon: IconShieldCheck },
  { to: '/storage', name: 'storage', icon: IconStack2 },
  { to: '/hosts', name: 'hosts', icon: IconServer },
  { to: '/settings', name: 'settings', icon: IconSettings },
] as const;
