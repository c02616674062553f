import { Button, Modal } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { usePreview } from '~/api/queries';
import type { FileView } from '~/api/types';
import { useWords } from '~/i18n';
import { contentUrl, PREVIEW_BYTES, type Place } from '~/lib/files';
import { Await } from '~/parts/Await';
import { Empty } from '~/parts/Notice';
import css from './files.module.css';

/** The beginning of a file as text, and nothing but text: whatever is in it is shown, never run. */
export function Preview({ place, file, onClose }: { place: Place; file: FileView | null; onClose: () => void }) {
  const { t, f } = useWords();
  const url = file ? contentUrl({ ...place, path: file.path }) : null;
  const beginning = usePreview(url);
  return (
    <Modal
      opened={file !== null}
      onClose={onClose}
      size="xl"
      title={file ? t.files.previewOf(file.name) : ''}
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      <div className="page">
        {url && (
          <Await of={beginning} skeleton={4}>
            {({ text, whole }) => {
              if (text === null) return <Empty title={t.files.notText} />;
              if (text === '') return <Empty title={t.files.emptyFile} />;
              return (
                <>
                  {!whole && <p className="dim small">{t.files.previewCut(f.bytes(PREVIEW_BYTES))}</p>}
                  <pre className={css.preview} tabIndex={0} aria-label={file?.name}>
                    {text}
                  </pre>
                </>
              );
            }}
          </Await>
        )}
        {url && (
          <div className="row" style={{ justifyContent: 'flex-end' }}>
            <Button
              leftSection={<IconDownload size={16} aria-hidden />}
              renderRoot={(props) => <a href={url} download {...props} />}
            >
              {t.files.download}
            </Button>
          </div>
        )}
      </div>
    </Modal>
  );
}
