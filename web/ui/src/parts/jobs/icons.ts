import { IconArrowBackUp, IconRecycle, IconChecklist, IconHistory, IconPlayerPlay } from '@tabler/icons-react';

export const JOB_ICONS = {
  backup: IconPlayerPlay,
  restore: IconHistory,
  check: IconChecklist,
  prune: IconRecycle,
  recover: IconArrowBackUp,
} as const;
