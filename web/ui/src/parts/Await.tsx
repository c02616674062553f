import { Skeleton } from '@mantine/core';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useWords } from '~/i18n';
import { Failure } from './Problems';

interface Props<Data> {
  of: UseQueryResult<Data, unknown>;
  /** Rows of the skeleton, or a skeleton in the final shape. */
  skeleton?: number | ReactNode;
  children: (data: Data) => ReactNode;
}

/** Loading, failed, stale or there: the four states of everything that is asked for. */
export function Await<Data>({ of: query, skeleton = 3, children }: Props<Data>) {
  const { t, f } = useWords();
  if (query.data === undefined) {
    if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} />;
    return <>{typeof skeleton === 'number' ? <Bones rows={skeleton} /> : skeleton}</>;
  }
  return (
    <>
      {query.isError && <p className="dim small">{t.common.lastKnown(f.clock(query.dataUpdatedAt))}</p>}
      {children(query.data)}
    </>
  );
}

/** Grey rows in the height of the text that comes. */
export function Bones({ rows, height = 44 }: { rows: number; height?: number }) {
  const { t } = useWords();
  return (
    <div className="stack" role="status" aria-label={t.common.loading}>
      {Array.from({ length: rows }, (_, row) => (
        <Skeleton key={row} height={height} radius="md" />
      ))}
    </div>
  );
}
