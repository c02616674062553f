import { useMutation } from '@tanstack/react-query';
import { useAssign, useBackUp } from '~/api/actions';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { useToasts } from '~/parts/Toasts';

/** The policy a new appliance offers: often enough for most, cheap enough for all. */
const OFFERED = 'silver';

/** Puts apps on the offered policy and takes their first backup at once. */
export function useProtectAll() {
  const assign = useAssign();
  const backUp = useBackUp();
  const { done, failed } = useToasts();
  const { t } = useWords();
  return useMutation<void, unknown, AppView[]>({
    mutationFn: async (apps) => {
      for (const app of apps) await assign.mutateAsync({ host: app.host, name: app.name, policy: OFFERED });
      await backUp.mutateAsync(apps.map((app) => app.id));
    },
    onSuccess: () => done(t.apps.started),
    onError: failed,
  });
}
