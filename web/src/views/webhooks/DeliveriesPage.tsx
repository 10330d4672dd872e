import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { Inbox, RotateCcw } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { useFlowName } from '~/api/flowNames';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { duration, exactly } from '~/lib/times';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Dialog } from '~/ui/Dialog';
import { Empty, ErrorNote, Skeleton } from '~/ui/Notes';
import { Card, Page } from '~/ui/Page';
import { Properties } from '~/ui/Properties';
import { Status } from '~/ui/Status';
import { PagedTable } from '~/ui/Table';
import { TextButton } from '~/ui/TextButton';
import { Ago } from '~/ui/Time';
import { useSay } from '~/ui/Toasts';
import { unescaped } from '~/views/webhooks/answers';
import { headersText } from '~/views/webhooks/headers';
import { WebhookActions } from '~/views/webhooks/WebhookActions';
import type { Webhook } from '~/views/webhooks/WebhookForm';
import { WebhookState } from '~/views/webhooks/WebhookState';

import styles from './DeliveriesPage.module.css';

const route = getRouteApi('/webhooks/$webhookId');
const REFRESH_MS = 5_000;

/** What was sent to one address, and how it answered. */
export function DeliveriesPage() {
  const { webhookId } = route.useParams();
  const path = { webhook_id: webhookId };
  const mayWrite = useMay('webhooks:write');
  const say = useSay();
  const navigate = useNavigate();
  const [shown, setShown] = useState<string | null>(null);
  const webhook = useQuery({
    queryKey: ['webhooks', webhookId],
    queryFn: async ({ signal }) =>
      data(await api.GET('/v1/webhooks/{webhook_id}', { params: { path }, signal })),
  });
  const deliveries = useInfiniteQuery({
    ...listQuery(['webhooks', webhookId, 'deliveries'], async (cursor, signal) =>
      data(
        await api.GET('/v1/webhooks/{webhook_id}/deliveries', {
          params: { path, query: { limit: 50, ...(cursor && { cursor }) } },
          signal,
        }),
      ),
    ),
    refetchInterval: REFRESH_MS,
  });
  const retry = useAction(['webhooks', webhookId], (id: string) =>
    api.POST('/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry', {
      params: { path: { ...path, delivery_id: id } },
    }),
  );
  const actions = (delivery: Schemas['DeliverySummary']) => (
    <Button
      small
      disabled={webhook.data?.enabled === false || retry.isPending}
      title={webhook.data?.enabled === false ? 'The webhook is paused' : undefined}
      onClick={() => retry.mutate(delivery.id, { onError: (error) => say(error.message) })}
    >
      <RotateCcw aria-hidden />
      {delivery.status === 'pending' ? 'Send now' : 'Send again'}
    </Button>
  );
  return (
    <Page
      title="Deliveries"
      subtitle={webhook.data && <code>{webhook.data.url}</code>}
      actions={
        mayWrite &&
        webhook.data && (
          <WebhookActions webhook={webhook.data} onDeleted={() => void navigate({ to: '/webhooks' })} />
        )
      }
    >
      {webhook.isError && <ErrorNote error={webhook.error} onRetry={() => void webhook.refetch()} />}
      {webhook.data && (
        <Card>
          <About webhook={webhook.data} />
        </Card>
      )}
      <PagedTable
        label="Deliveries"
        query={deliveries}
        keyOf={(delivery) => delivery.id}
        columns={[
          {
            name: 'Event',
            cell: (delivery) => (
              <TextButton onClick={() => setShown(delivery.id)}>{delivery.type}</TextButton>
            ),
          },
          { name: 'Status', cell: (delivery) => <Status status={delivery.status} /> },
          { name: 'Tries', end: true, cell: (delivery) => delivery.tries },
          {
            name: 'Answer',
            cell: (delivery) => (
              <span className="long">{delivery.last_status ?? delivery.last_error ?? delivery.reason}</span>
            ),
          },
          {
            name: 'Run',
            cell: ({ run_id: runId }) =>
              runId && (
                <Link to="/runs/$runId" params={{ runId }} className="mono">
                  {runId.slice(-12)}
                </Link>
              ),
          },
          { name: 'Made', cell: (delivery) => <Ago at={delivery.created_at} /> },
          {
            name: 'Next try',
            cell: (delivery) => (delivery.next_try_at ? <Ago at={delivery.next_try_at} /> : null),
          },
          ...(mayWrite ? [{ name: 'Actions', silent: true, end: true, cell: actions }] : []),
        ]}
        empty={<Empty icon={Inbox} title="Nothing was sent yet" />}
      />
      <Dialog title="Delivery" open={shown !== null} onClose={() => setShown(null)} wide>
        {shown !== null && <Delivery webhook={webhookId} delivery={shown} />}
      </Dialog>
    </Page>
  );
}

/** What is sent to it, and how. */
function About({ webhook }: { webhook: Webhook }) {
  const nameOf = useFlowName();
  const { flow_id: flowId, old_key_until: until } = webhook;
  const headers = headersText(webhook.headers);
  return (
    <Properties
      of={{
        State: <WebhookState webhook={webhook} />,
        Description: webhook.description,
        Events: webhook.events.join(', '),
        Of: flowId ? (
          <Link to="/flows/$flowId" params={{ flowId }}>
            {nameOf(flowId)}
          </Link>
        ) : (
          'all flows'
        ),
        'Stands in': webhook.source === 'flow' && "its flow's document",
        'Only steps of': webhook.nodes.join(', '),
        Headers: headers && <code style={{ whiteSpace: 'pre-wrap' }}>{headers}</code>,
        Signed: webhook.secret ? (
          <>
            with the secret <code>{webhook.secret}</code>
          </>
        ) : webhook.signed ? (
          'with its key'
        ) : (
          'no'
        ),
        'Earlier key': until && (
          <>
            signs as well, and ends <Ago at={until} />
          </>
        ),
        Made: webhook.created_at && <Ago at={webhook.created_at} />,
      }}
    />
  );
}

function Delivery({ webhook, delivery }: { webhook: string; delivery: string }) {
  const found = useQuery({
    queryKey: ['webhooks', webhook, 'deliveries', delivery],
    queryFn: async ({ signal }) =>
      data(
        await api.GET('/v1/webhooks/{webhook_id}/deliveries/{delivery_id}', {
          params: { path: { webhook_id: webhook, delivery_id: delivery } },
          signal,
        }),
      ),
    refetchInterval: ({ state }) => (state.data?.status === 'pending' ? REFRESH_MS : false),
  });
  if (found.isPending) return <Skeleton />;
  if (found.isError) return <ErrorNote error={found.error} />;
  return (
    <>
      <Properties
        of={{
          Id: <code>{found.data.id}</code>,
          Status: <Status status={found.data.status} />,
          Reason: found.data.reason,
        }}
      />
      <h3>Tries</h3>
      <ol className={styles.tries}>
        {found.data.history.map((one) => (
          <li key={one.at}>
            {exactly(one.at)}, {duration(one.duration_ms)}: <b>{one.status ?? one.error}</b>
            {one.response && <pre>{unescaped(one.response)}</pre>}
          </li>
        ))}
        {found.data.history.length === 0 && <li className="muted">None yet.</li>}
      </ol>
      <h3>Message</h3>
      <pre className={styles.payload}>{JSON.stringify(found.data.payload, null, 2)}</pre>
    </>
  );
}
