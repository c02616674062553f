import { useProtect } from '~/api/actions';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { useToasts } from '~/parts/Toasts';

/** The policy a new appliance offers: often enough for most, cheap enough for all. */
const OFFERED = 'silver';

/** One button: apps on the offered policy, their first backups under way. */
export function useProtectAll() {
  const protect = useProtect();
  const { done, failed } = useToasts();
  const { t } = useWords();
  return {
    isPending: protect.isPending,
    start: (apps: AppView[], onDone?: () => void) =>
      protect.mutate(
        { apps, policy: OFFERED },
        {
          onSuccess: () => {
            done(t.apps.started);
            onDone?.();
          },
          onError: failed,
        },
      ),
  };
}
