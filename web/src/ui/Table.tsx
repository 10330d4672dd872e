import type { UseInfiniteQueryResult } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';

import { Button } from '~/ui/Button';
import { ErrorNote, Skeleton } from '~/ui/Notes';

import styles from './Table.module.css';

export interface Column<T> {
  name: string;
  /** The column's heading is for screen readers only: for selection boxes and actions. */
  silent?: boolean;
  /** What stands there instead: a box that chooses all rows. */
  head?: ReactNode;
  /** Numbers and actions stand at the end of their cell. */
  end?: boolean;
  cell: (row: T) => ReactNode;
}

interface TableProps<T> {
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  more?: ReactNode;
}

export function Table<T>({ label, columns, rows, keyOf, more }: TableProps<T>) {
  return (
    <div className={styles.frame}>
      <table className={styles.table} aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" className={column.end ? styles.end : undefined}>
                {column.head ??
                  (column.silent ? <span className="visually-hidden">{column.name}</span> : column.name)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((column) => (
                <td
                  key={column.name}
                  data-label={column.silent ? '' : column.name}
                  className={column.end ? styles.end : undefined}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {more}
    </div>
  );
}

interface Page<T> {
  items: T[];
}

interface PagedTableProps<T> extends Omit<TableProps<T>, 'rows' | 'more'> {
  query: UseInfiniteQueryResult<{ pages: Page<T>[] }>;
  empty: ReactNode;
}

/** A list of the server, page after page, with what is shown before there is one. */
export function PagedTable<T>({ query, empty, ...table }: PagedTableProps<T>) {
  // Who asks again and again begins anew each time: what was wrong stays there until there is an answer.
  const [trouble, setTrouble] = useState<Error | null>(null);
  const now = query.data ? null : (query.error ?? trouble);
  if (now !== trouble) setTrouble(now);
  if (query.isPending && !now) {
    return (
      <div className={styles.frame}>
        <Skeleton />
      </div>
    );
  }
  if (!query.data) return <ErrorNote error={now} onRetry={() => void query.refetch()} />;
  const rows = query.data.pages.flatMap((page) => page.items);
  const more = query.hasNextPage && (
    <div className={styles.more}>
      <Button small busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {rows.length > 0 ? 'Show more' : 'None on the first pages: look on'}
      </Button>
    </div>
  );
  // A filter may leave nothing of a page that others follow.
  if (rows.length === 0) return <div className={styles.frame}>{more || empty}</div>;
  return (
    <>
      {query.isError && <ErrorNote error={query.error} onRetry={() => void query.refetch()} />}
      <Table {...table} rows={rows} more={more} />
    </>
  );
}
