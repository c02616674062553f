import { IconCircleCheck, IconCircleX } from '@tabler/icons-react';
import { createContext, useCallback, useContext, useState, type ReactNode } from 'react';
import { asProblem } from '~/api/client';
import { useWords } from '~/i18n';
import css from './Toasts.module.css';

interface Toast {
  id: number;
  tone: 'good' | 'bad';
  text: string;
}
interface Toasts {
  done(text: string): void;
  failed(error: unknown): void;
}

/** Long enough to read two sentences. */
const STAY_MS = 7000;
let lastId = 0;
const ToastContext = createContext<Toasts>({ done: () => {}, failed: () => {} });

/** Short words on what just happened; they are read out and go away by themselves. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const { t } = useWords();
  const [toasts, setToasts] = useState<Toast[]>([]);
  const show = useCallback((tone: Toast['tone'], text: string) => {
    const id = ++lastId;
    setToasts((all) => [...all.slice(-3), { id, tone, text }]);
    setTimeout(() => setToasts((all) => all.filter((toast) => toast.id !== id)), STAY_MS);
  }, []);
  const done = useCallback((text: string) => show('good', text), [show]);
  const failed = useCallback(
    (error: unknown) => {
      const problem = asProblem(error);
      show('bad', problem.status === 0 ? t.common.unreachable : [problem.title, problem.hint].filter(Boolean).join('. '));
    },
    [show, t],
  );
  return (
    <ToastContext value={{ done, failed }}>
      {children}
      <div className={css.corner} role="status" aria-live="polite">
        {toasts.map(({ id, tone, text }) => (
          <div key={id} className={`${css.toast} ${css[tone]}`}>
            {tone === 'good' ? <IconCircleCheck size={18} aria-hidden /> : <IconCircleX size={18} aria-hidden />}
            <span>{text}</span>
          </div>
        ))}
      </div>
    </ToastContext>
  );
}

export const useToasts = () => useContext(ToastContext);
