import type { ReactNode } from 'react';
import css from './DataTable.module.css';

interface Props {
  /** What the rows are, for those who hear the page. */
  label: string;
  /** Column heads; an empty one is a column of buttons. */
  heads: string[];
  children: ReactNode;
}

/** Rows and columns that scroll sideways by themselves, never the page. */
export function DataTable({ label, heads, children }: Props) {
  return (
    <div className={css.scroll} tabIndex={0} role="group" aria-label={label}>
      <table className={css.table}>
        <thead>
          <tr>
            {heads.map((head, place) =>
              head ? (
                <th key={place} scope="col">
                  {head}
                </th>
              ) : (
                <td key={place} style={{ border: 0 }} />
              ),
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
