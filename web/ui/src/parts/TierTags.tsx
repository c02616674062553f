import { IconCloud, IconDatabase } from '@tabler/icons-react';
import type { TierState } from '~/api/types';
import { useWords } from '~/i18n';
import css from './Pill.module.css';

const LOCAL = { present: css.local, partial: '', absent: css.off } as const;
const CLOUD = { present: css.cloud, shipping: '', none: css.off, damaged: css.hurt } as const;

/** Where a restore point can come from, in words and by line. */
export function TierTags({ state }: { state: TierState }) {
  const { t } = useWords();
  return (
    <span className="row" style={{ gap: '0.35rem' }}>
      <span className={`${css.tag} ${LOCAL[state.local]}`}>
        <IconDatabase size={13} aria-hidden />
        {t.apps.local[state.local]}
      </span>
      <span className={`${css.tag} ${CLOUD[state.cloud]}`}>
        <IconCloud size={13} aria-hidden />
        {t.apps.cloud[state.cloud]}
      </span>
    </span>
  );
}
