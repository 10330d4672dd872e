import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { ListChecks, Plus } from 'lucide-react';
import { useState } from 'react';

import { api, data } from '~/api/client';
import { useFlowName } from '~/api/flowNames';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { Button } from '~/ui/Button';
import { Empty } from '~/ui/Notes';
import { Bar, Page } from '~/ui/Page';
import { PagedTable, type Column } from '~/ui/Table';
import { FlowSelect } from '~/views/flows/FlowSelect';
import { Hooks } from '~/views/webhooks/Hooks';
import { SigningKey, WebhookActions } from '~/views/webhooks/WebhookActions';
import { WebhookForm, type Webhook } from '~/views/webhooks/WebhookForm';
import { WebhookState } from '~/views/webhooks/WebhookState';

function webhooksQuery(flow: string) {
  return listQuery(['webhooks', 'list', flow], async (cursor, signal) => {
    const query = { limit: 100, ...(flow && { flow }), ...(cursor && { cursor }) };
    return data(await api.GET('/v1/webhooks', { params: { query }, signal }));
  });
}

/** Where events are sent to, and where they come in. */
export function WebhooksPage() {
  const [flow, setFlow] = useState('');
  const webhooks = useInfiniteQuery(webhooksQuery(flow));
  const mayWrite = useMay('webhooks:write');
  const nameOf = useFlowName();
  const [making, setMaking] = useState(false);
  const [key, setKey] = useState<string | null>(null);
  const add = mayWrite && (
    <Button look="primary" onClick={() => setMaking(true)}>
      <Plus aria-hidden />
      New webhook
    </Button>
  );
  return (
    <Page
      title="Webhooks"
      subtitle="Events that are sent to other services, signed and repeated until they arrive; and calls that start flows."
      actions={add}
    >
      <Bar label="Filters">
        <FlowSelect label="Flow" none="All" value={flow} onFlow={setFlow} />
      </Bar>
      <h2>Outbound</h2>
      <PagedTable
        label="Outbound webhooks"
        query={webhooks}
        keyOf={(webhook) => webhook.id}
        columns={columns(nameOf, mayWrite)}
        empty={
          flow ? (
            <Empty icon={ListChecks} title="No outbound webhooks of this flow" />
          ) : (
            <Empty icon={ListChecks} title="No outbound webhooks yet" action={add}>
              Tell another service when runs complete or fail.
            </Empty>
          )
        }
      />
      <Hooks flow={flow} />
      {making && <WebhookForm webhook={null} onClose={() => setMaking(false)} onKey={setKey} />}
      <SigningKey text={key} onClose={() => setKey(null)} />
    </Page>
  );
}

function columns(nameOf: (id: string) => string, mayWrite: boolean): Column<Webhook>[] {
  return [
    {
      name: 'Address',
      cell: (webhook) => (
        <div className="long">
          <Link to="/webhooks/$webhookId" params={{ webhookId: webhook.id }} className="mono">
            {webhook.url}
          </Link>
          {webhook.description && <div className="muted">{webhook.description}</div>}
        </div>
      ),
    },
    { name: 'Events', cell: (webhook) => <span className="muted">{webhook.events.join(', ')}</span> },
    {
      name: 'Of',
      cell: (webhook) => (
        <div>
          {webhook.flow_id ? nameOf(webhook.flow_id) : 'all flows'}
          {webhook.source === 'flow' && <div className="muted">stands in it</div>}
        </div>
      ),
    },
    { name: 'State', cell: (webhook) => <WebhookState webhook={webhook} /> },
    ...(mayWrite
      ? [
          {
            name: 'Actions',
            silent: true,
            end: true,
            cell: (webhook: Webhook) => <WebhookActions webhook={webhook} />,
          },
        ]
      : []),
  ];
}
