import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Webhook as WebhookIcon } from 'lucide-react';

import { api, data } from '~/api/client';
import { useFlowName } from '~/api/flowNames';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { Empty } from '~/ui/Notes';
import { PagedTable } from '~/ui/Table';
import { WithCopy } from '~/ui/WithCopy';

const hooksQuery = listQuery(['hooks'], async (cursor, signal) =>
  data(await api.GET('/v1/hooks', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal })),
);

/** The addresses that start flows, as their flows declare them; those of one flow, or all. */
export function Hooks({ flow }: { flow: string }) {
  const mayRead = useMay('schedules:read');
  const hooks = useInfiniteQuery({
    ...hooksQuery,
    enabled: mayRead,
    select: ({ pages, pageParams }) => ({
      pageParams,
      pages: pages.map((page) => ({
        ...page,
        items: page.items.filter((hook) => !flow || hook.flow_id === flow),
      })),
    }),
  });
  const nameOf = useFlowName();
  if (!mayRead) return null;
  return (
    <>
      <h2>Inbound</h2>
      <PagedTable
        label="Inbound webhooks"
        query={hooks}
        keyOf={(hook) => hook.id}
        columns={[
          {
            name: 'Flow',
            cell: ({ flow_id: flowId }) => (
              <Link to="/flows/$flowId" params={{ flowId }}>
                {nameOf(flowId)}
              </Link>
            ),
          },
          {
            name: 'Address',
            cell: (hook) => (
              <WithCopy text={new URL(hook.url, location.href).href} label="Copy the address">
                <code>
                  {hook.method} {hook.url}
                </code>
              </WithCopy>
            ),
          },
          { name: 'Signed', cell: (hook) => <Signed scheme={hook.scheme} secret={hook.secret} /> },
          {
            name: 'Answers',
            cell: ({ respond }) => (
              <span className="muted">{respond === 'sync' ? 'with the output' : 'at once'}</span>
            ),
          },
        ]}
        empty={
          <Empty
            icon={WebhookIcon}
            title={flow ? 'This flow has no inbound webhook' : 'No flow has an inbound webhook'}
          >
            Declare one under <code>triggers</code> in a flow.
          </Empty>
        }
      />
    </>
  );
}

/** By which scheme calls are signed, and with which secret. */
function Signed({ scheme, secret }: { scheme: string | null; secret: string | null }) {
  if (scheme === null) return <span className="muted">no: anybody may call it</span>;
  return (
    <span>
      {scheme}
      {secret && (
        <span className="muted">
          {' '}
          with <code>{secret}</code>
        </span>
      )}
    </span>
  );
}
