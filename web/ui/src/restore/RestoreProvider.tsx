import { createContext, lazy, Suspense, useCallback, useContext, useMemo, useRef, useState, type ReactNode } from 'react';
import type { AppView } from '~/api/types';

/** What somebody wants back: the newest point unless one is named. */
export interface Wish {
  app: AppView;
  snapshot?: string;
}
interface Restore {
  open(wish: Wish): void;
}

const RestoreContext = createContext<Restore | null>(null);
const RestoreDrawer = lazy(() => import('./RestoreDrawer').then((module) => ({ default: module.RestoreDrawer })));

/** Any page may open the restore drawer. */
export function RestoreProvider({ children }: { children: ReactNode }) {
  const [wish, setWish] = useState<Wish | null>(null);
  const [opened, setOpened] = useState(false);
  // The drawer arrives late the first time: it cannot know by itself where the focus was.
  const cameFrom = useRef<Element | null>(null);
  const open = useCallback((next: Wish) => {
    cameFrom.current = document.activeElement;
    setWish(next);
    setOpened(true);
  }, []);
  const restore = useMemo(() => ({ open }), [open]);
  return (
    <RestoreContext value={restore}>
      {children}
      <Suspense>
        {wish && (
          <RestoreDrawer
            wish={wish}
            opened={opened}
            onClose={() => setOpened(false)}
            onGone={() => cameFrom.current instanceof HTMLElement && cameFrom.current.focus()}
          />
        )}
      </Suspense>
    </RestoreContext>
  );
}

export function useRestore(): Restore {
  const restore = useContext(RestoreContext);
  if (!restore) throw new Error('RestoreProvider is missing');
  return restore;
}
