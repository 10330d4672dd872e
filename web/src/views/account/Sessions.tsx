import { useInfiniteQuery } from '@tanstack/react-query';
import { MonitorSmartphone } from 'lucide-react';

import { api, data } from '~/api/client';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Empty } from '~/ui/Notes';
import { Badge } from '~/ui/Status';
import { PagedTable } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { useSay } from '~/ui/Toasts';

const sessionsQuery = listQuery(['sessions'], async (cursor, signal) =>
  data(
    await api.GET('/v1/sessions', { params: { query: { limit: 50, ...(cursor && { cursor }) } }, signal }),
  ),
);

/** Where one is logged in. A session that was left behind somewhere is ended from here. */
export function Sessions() {
  const sessions = useInfiniteQuery(sessionsQuery);
  const mayEnd = useMay('tokens:write');
  const say = useSay();
  const end = useAction(
    ['sessions'],
    (id: string) => api.DELETE('/v1/sessions/{session_id}', { params: { path: { session_id: id } } }),
    () => say('That session has ended.'),
  );
  return (
    <PagedTable
      label="Your sessions"
      query={sessions}
      keyOf={(session) => session.id}
      columns={[
        { name: 'From', cell: (session) => <code>{session.address || 'unknown'}</code> },
        { name: 'Begun', cell: (session) => <Ago at={session.created_at} /> },
        { name: 'Last used', cell: (session) => <Ago at={session.last_seen} /> },
        {
          name: 'Actions',
          silent: true,
          end: true,
          cell: (session) =>
            session.current ? (
              <Badge tone="good">this one</Badge>
            ) : (
              mayEnd && (
                <Button
                  small
                  look="danger"
                  disabled={end.isPending}
                  onClick={() => end.mutate(session.id, { onError: (error) => say(error.message) })}
                >
                  End
                </Button>
              )
            ),
        },
      ]}
      empty={<Empty icon={MonitorSmartphone} title="No sessions" />}
    />
  );
}
