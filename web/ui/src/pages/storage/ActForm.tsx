import type { FormEvent, ReactNode } from 'react';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

interface Asks<Body, Answer> {
  mutate: (body: Body, after: { onSuccess: (answer: Answer) => void }) => void;
  isPending: boolean;
  isError: boolean;
  error: unknown;
}

interface Props<Body, Answer> {
  asks: Asks<Body, Answer>;
  /** What is asked for as the fields are now; `null` while it cannot be asked for. */
  body: Body | null;
  /** What is said when it was done. */
  told: (answer: Answer) => string;
  /** Word on the button; else it saves. */
  act?: string;
  onDone: () => void;
  children: ReactNode;
}

/** Fields within a dialog and the one button that sends them: it stays until they were taken. */
export function ActForm<Body, Answer>({ asks, body, told, act, onDone, children }: Props<Body, Answer>) {
  const { t } = useWords();
  const { done } = useToasts();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (body === null) return;
    asks.mutate(body, {
      onSuccess: (answer) => {
        done(told(answer));
        onDone();
      },
    });
  };
  return (
    <form onSubmit={submit} className="page">
      {children}
      {asks.isError && <Failure error={asks.error} />}
      <div>
        <ChangeButton type="submit" variant="filled" disabled={body === null} loading={asks.isPending}>
          {act ?? t.common.save}
        </ChangeButton>
      </div>
    </form>
  );
}
