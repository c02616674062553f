import { IconArrowBackUp, IconCloudDownload, IconRecycle, IconChecklist, IconHistory, IconPlayerPlay } from '@tabler/icons-react';

export const JOB_ICONS = {
  backup: IconPlayerPlay,
  restore: IconHistory,
  check: IconChecklist,
  prune: IconRecycle,
  recover: IconArrowBackUp,
  warm: IconCloudDownload,
} as const;
