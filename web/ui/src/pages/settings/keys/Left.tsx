import { Button } from '@mantine/core';
import { useState } from 'react';
import type { KeysChange, Problem } from '~/api/types';
import { useWords } from '~/i18n';
import { ProblemList } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';

/** Closes after a change that left nothing to do; else what is left stays on the screen. */
export function useLeft(onClose: () => void, said: string) {
  const { done: toast } = useToasts();
  const [problems, setProblems] = useState<Problem[] | null>(null);
  const done = (change: KeysChange) => {
    toast(said);
    if (change.problems.length > 0) setProblems(change.problems);
    else onClose();
  };
  return { problems, done };
}

export function Left({ problems, onClose }: { problems: Problem[]; onClose: () => void }) {
  const { t } = useWords();
  return (
    <div className="page">
      <ProblemList problems={problems} />
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onClick={onClose}>{t.common.close}</Button>
      </div>
    </div>
  );
}
