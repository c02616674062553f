import { Button } from '@mantine/core';
import { IconDownload, IconPrinter } from '@tabler/icons-react';
import type { KitView } from '~/api/types';
import { useWords } from '~/i18n';
import css from './KitSheet.module.css';

/** The kit on the screen, to be taken away as a file or on paper. */
export function KitSheet({ kit }: { kit: KitView }) {
  const { t } = useWords();
  return (
    <div className="stack">
      <pre className={css.text} data-kit tabIndex={0} role="group" aria-label={t.entry.kitText}>
        {kit.text}
      </pre>
      <div className="row">
        <Button leftSection={<IconDownload size={17} aria-hidden />} onClick={() => download(kit)}>
          {t.common.download}
        </Button>
        <Button leftSection={<IconPrinter size={17} aria-hidden />} onClick={() => window.print()}>
          {t.common.print}
        </Button>
      </div>
    </div>
  );
}

function download({ text, file_name }: KitView): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = file_name;
  link.click();
  URL.revokeObjectURL(url);
}
