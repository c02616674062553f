import { Button } from '@mantine/core';
import { useDiff } from '~/api/queries';
import type { ChangeView } from '~/api/types';
import { useWords } from '~/i18n';
import { spotOf } from '~/lib/files';
import { Bones } from '~/parts/Await';
import { DataTable } from '~/parts/DataTable';
import { Empty, Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';
import { Failure } from '~/parts/Problems';
import type { Spot } from './FilesTab';
import css from './files.module.css';

const TONES = { added: 'good', removed: 'bad', changed: 'warn' } as const;

interface Props {
  before: string;
  after: string;
  go: (next: Spot) => void;
}

/** What differs between the files of two restore points, page after page as far as somebody asks. */
export function Changes({ before, after, go }: Props) {
  const { t } = useWords();
  const diff = useDiff(before, after);
  const pages = diff.data?.pages ?? [];
  const changes = pages.flatMap((page) => page.changes);
  const missing = [...new Set(pages.flatMap((page) => page.missing))];
  return (
    <>
      {missing.length > 0 && (
        <Notice tone="warn" title={t.files.notCompared}>
          {missing.map((line) => (
            <div key={line}>{line}</div>
          ))}
        </Notice>
      )}
      <Panel title={t.files.changes} flush>
        {diff.isError && (
          <div style={{ padding: '1.25rem' }}>
            <Failure error={diff.error} retry={() => void diff.refetch()} />
          </div>
        )}
        {diff.isPending && (
          <div style={{ padding: '1.25rem' }}>
            <Bones rows={6} />
          </div>
        )}
        {diff.isSuccess && changes.length === 0 && !diff.hasNextPage && <Empty title={t.files.noChanges} />}
        {changes.length > 0 && (
          <DataTable label={t.files.changes} heads={[t.common.name, t.files.colChange, t.files.colSize, t.files.colActions]}>
            {changes.map((change) => (
              <Row
                key={`${change.section}/${change.path}`}
                change={change}
                show={() => go(spotOf(change, before, after))}
              />
            ))}
          </DataTable>
        )}
        {diff.hasNextPage && (
          <div className={css.more}>
            <Button loading={diff.isFetchingNextPage} onClick={() => void diff.fetchNextPage()}>
              {t.apps.showMore}
            </Button>
          </div>
        )}
      </Panel>
    </>
  );
}

function Row({ change, show }: { change: ChangeView; show: () => void }) {
  const { t, f } = useWords();
  const size = (bytes: number | null | undefined) => (bytes === null || bytes === undefined ? '—' : f.bytes(bytes));
  const [was, is] = [change.before?.size, change.after?.size];
  const word = (what: string) => t.files.differs[what as keyof typeof t.files.differs] ?? what;
  return (
    <tr>
      <td>
        <span className={css.text}>{change.path || t.files.root}</span>
        <div className="dim">{change.section}</div>
      </td>
      <td>
        <Pill tone={TONES[change.change]}>{t.files.change[change.change]}</Pill>
        {change.differs.length > 0 && <div className="dim small">{f.list(change.differs.map(word))}</div>}
      </td>
      <td className="numbers">
        {change.change === 'changed' && was !== is ? `${size(was)} → ${size(is)}` : size(is ?? was)}
      </td>
      <td>
        <Button size="compact-sm" aria-label={`${t.files.show}: ${change.path}`} onClick={show}>
          {t.files.show}
        </Button>
      </td>
    </tr>
  );
}
