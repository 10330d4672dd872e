import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { api, data } from '~/api/client';
import type { Flow } from '~/api/flows';
import { listQuery } from '~/api/lists';
import { Button } from '~/ui/Button';
import frame from '~/ui/Frame.module.css';
import { ErrorNote, Skeleton } from '~/ui/Notes';
import { Table } from '~/ui/Table';
import { Ago } from '~/ui/Time';

import styles from './FlowPage.module.css';

interface Props {
  flow: Flow;
  /** Takes the document of a revision into the editor; null for who may not change flows. */
  onRestore: ((document: string) => void) | null;
}

/** What the flow was before, what changed from one revision to the next, and the way back. */
export function Revisions({ flow, onRestore }: Props) {
  const [compared, setCompared] = useState<number | null>(null);
  const path = { flow_id: flow.id };
  const revisions = useInfiniteQuery(
    listQuery(['flows', flow.id, 'revisions'], async (cursor, signal) =>
      data(
        await api.GET('/v1/flows/{flow_id}/revisions', {
          params: { path, query: { limit: 50, ...(cursor && { cursor }) } },
          signal,
        }),
      ),
    ),
  );
  const restore = async (revision: number) => {
    const found = data(
      await api.GET('/v1/flows/{flow_id}/revisions/{revision}', { params: { path: { ...path, revision } } }),
    );
    onRestore?.(found.document);
  };
  if (revisions.isPending) return <Skeleton />;
  if (revisions.isError) return <ErrorNote error={revisions.error} />;
  const rows = revisions.data.pages.flatMap((page) => page.items);
  return (
    <>
      {compared !== null && <Diff flow={flow.id} from={compared} to={flow.revision} />}
      <Table
        label="Revisions"
        rows={rows}
        keyOf={(row) => String(row.revision)}
        columns={[
          { name: 'Revision', cell: (row) => <b>{row.revision}</b> },
          { name: 'Saved', cell: (row) => <Ago at={row.created_at} /> },
          { name: 'Hash', cell: (row) => <code className="muted">{row.hash.slice(0, 12)}</code> },
          {
            name: 'Actions',
            silent: true,
            end: true,
            cell: (row) =>
              row.revision !== flow.revision && (
                <span className={frame.actions}>
                  <Button small onClick={() => setCompared(row.revision)}>
                    What changed since
                  </Button>
                  {onRestore && (
                    <Button small onClick={() => restore(row.revision)}>
                      Take into the editor
                    </Button>
                  )}
                </span>
              ),
          },
        ]}
        more={
          revisions.hasNextPage && (
            <Button small busy={revisions.isFetchingNextPage} onClick={() => void revisions.fetchNextPage()}>
              Show more
            </Button>
          )
        }
      />
    </>
  );
}

function Diff({ flow, from, to }: { flow: string; from: number; to: number }) {
  const found = useQuery({
    queryKey: ['flows', flow, 'diff', from, to],
    queryFn: async ({ signal }) =>
      data(
        await api.GET('/v1/flows/{flow_id}/diff', {
          params: { path: { flow_id: flow }, query: { from, to } },
          signal,
        }),
      ),
    staleTime: Infinity,
  });
  if (found.isPending) return <Skeleton lines={3} />;
  if (found.isError) return <ErrorNote error={found.error} />;
  return (
    <section aria-label={`From revision ${from} to ${to}`}>
      <h3>
        From revision {from} to {to}
      </h3>
      <div className={styles.diff}>
        {found.data.text.split('\n').map((line, index) => (
          <div key={index} className={classOf(line)}>
            {line || ' '}
          </div>
        ))}
      </div>
    </section>
  );
}

function classOf(line: string): string | undefined {
  if (line.startsWith('+') && !line.startsWith('+++')) return styles.added;
  return line.startsWith('-') && !line.startsWith('---') ? styles.removed : undefined;
}
