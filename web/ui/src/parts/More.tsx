import { Button } from '@mantine/core';
import { useState, type ReactNode } from 'react';
import { useWords } from '~/i18n';

/** The first rows of a long list and a button for the next: ten thousand rows never meet the page at once. */
export function useMore<Item>(items: Item[], step: number): { shown: Item[]; more: ReactNode } {
  const { t } = useWords();
  const [rows, setRows] = useState(step);
  const more = items.length > rows && (
    <div style={{ padding: '0.75rem 1.25rem', borderTop: '1px solid var(--hf-line)' }}>
      <Button onClick={() => setRows(rows + step)}>{t.apps.showMore}</Button>
    </div>
  );
  return { shown: items.slice(0, rows), more };
}
