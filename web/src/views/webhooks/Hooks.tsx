import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Webhook as WebhookIcon } from 'lucide-react';

import { api, data } from '~/api/client';
import { useFlowName } from '~/api/flowNames';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { Copy } from '~/ui/Copy';
import { Empty } from '~/ui/Notes';
import { PagedTable } from '~/ui/Table';

const hooksQuery = listQuery(['hooks'], async (cursor, signal) =>
  data(await api.GET('/v1/hooks', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal })),
);

/** The addresses that start flows, as their flows declare them. */
export function Hooks() {
  const mayRead = useMay('schedules:read');
  const hooks = useInfiniteQuery({ ...hooksQuery, enabled: mayRead });
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
              <span>
                <code>
                  {hook.method} {hook.url}
                </code>
                <Copy text={new URL(hook.url, location.href).href} label="Copy the address" />
              </span>
            ),
          },
          { name: 'Signed', cell: (hook) => hook.scheme ?? <span className="muted">no</span> },
          { name: 'Answers', cell: (hook) => <span className="muted">{hook.respond}</span> },
        ]}
        empty={
          <Empty icon={WebhookIcon} title="No flow has an inbound webhook">
            Declare one under <code>triggers</code> in a flow.
          </Empty>
        }
      />
    </>
  );
}
