import { Button } from '@mantine/core';
import { useEffect, useState } from 'react';
import { useKit } from '~/api/actions';
import { useWords } from '~/i18n';
import { Bones } from '~/parts/Await';
import { KitConfirm } from '~/parts/kit/KitConfirm';
import { KitSheet } from '~/parts/kit/KitSheet';
import { Notice } from '~/parts/Notice';
import { Failure } from '~/parts/Problems';

/** The one thing nobody can make again: shown, taken away, proved readable. */
export function KitStep({ password, onDone }: { password: string; onDone: () => void }) {
  const { t } = useWords();
  const { mutate, data: kit, isError, error } = useKit();
  const [stored, setStored] = useState(false);
  useEffect(() => mutate(password), [mutate, password]);
  if (isError) return <Failure error={error} retry={() => mutate(password)} />;
  if (!kit) return <Bones rows={4} />;
  if (stored) return <KitConfirm text={kit.text} onDone={onDone} />;
  return (
    <div className="page">
      <Notice tone="warn" title={t.entry.kitHint} />
      <KitSheet kit={kit} />
      <div>
        <Button variant="filled" onClick={() => setStored(true)}>
          {t.entry.kitStored}
        </Button>
      </div>
    </div>
  );
}
