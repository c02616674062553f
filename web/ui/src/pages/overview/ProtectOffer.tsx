import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Notice } from '~/parts/Notice';
import { useProtectAll } from '~/parts/apps/useProtectAll';

/** The first thing to do on a new appliance: one button. */
export function ProtectOffer({ apps }: { apps: AppView[] }) {
  const { t, f } = useWords();
  const open = apps.filter((app) => app.state === 'not_protected');
  const protect = useProtectAll();
  // A few left out on purpose are no reason to ask each day.
  if (open.length === 0 || open.length < apps.length / 2) return null;
  return (
    <Notice
      tone="busy"
      title={t.overview.protectFound(f.number(open.length), open.length)}
      action={
        <ChangeButton size="xs" variant="filled" loading={protect.isPending} onClick={() => protect.start(open)}>
          {t.overview.protectAll}
        </ChangeButton>
      }
    />
  );
}
