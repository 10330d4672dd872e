import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { KeyRound, ListChecks, Pause, Play, Plus, Send, Trash2 } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { useFlowName } from '~/api/flowNames';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Confirm, Dialog } from '~/ui/Dialog';
import { Menu } from '~/ui/Menu';
import { Empty } from '~/ui/Notes';
import { Page } from '~/ui/Page';
import { ShownOnce } from '~/ui/ShownOnce';
import { Badge } from '~/ui/Status';
import { PagedTable } from '~/ui/Table';
import { useSay } from '~/ui/Toasts';
import { Hooks } from '~/views/webhooks/Hooks';
import { NewWebhook } from '~/views/webhooks/NewWebhook';

export type Webhook = Schemas['WebhookModel'];

const webhooksQuery = listQuery(['webhooks'], async (cursor, signal) =>
  data(
    await api.GET('/v1/webhooks', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal }),
  ),
);

/** Where events are sent to, and where they come in. */
export function WebhooksPage() {
  const webhooks = useInfiniteQuery(webhooksQuery);
  const mayWrite = useMay('webhooks:write');
  const nameOf = useFlowName();
  const say = useSay();
  const [making, setMaking] = useState(false);
  const [removing, setRemoving] = useState<Webhook | null>(null);
  const [key, setKey] = useState<string | null>(null);
  const change = useAction(['webhooks'], ({ id, enabled }: { id: string; enabled: boolean }) =>
    api.PATCH('/v1/webhooks/{webhook_id}', { params: { path: { webhook_id: id } }, body: { enabled } }),
  );
  const remove = useAction(['webhooks'], (id: string) =>
    api.DELETE('/v1/webhooks/{webhook_id}', { params: { path: { webhook_id: id } } }),
  );
  const rotate = useAction(
    ['webhooks'],
    async (id: string) =>
      data(
        await api.POST('/v1/webhooks/{webhook_id}/rotate-secret', { params: { path: { webhook_id: id } } }),
      ),
    (made) => setKey(made.signing_key),
  );
  const test = useAction(
    ['webhooks'],
    (id: string) => api.POST('/v1/webhooks/{webhook_id}/test', { params: { path: { webhook_id: id } } }),
    () => say('A test event is on its way: see its deliveries.'),
  );
  const failed = { onError: (error: Error) => say(error.message) };
  const actions = (webhook: Webhook) => (
    <Menu
      label={`Actions for ${webhook.url}`}
      items={[
        {
          label: 'Send a test',
          icon: Send,
          disabled: !mayWrite,
          onSelect: () => test.mutate(webhook.id, failed),
        },
        {
          label: 'New signing key',
          icon: KeyRound,
          disabled: !mayWrite || !webhook.signed,
          onSelect: () => rotate.mutate(webhook.id, failed),
        },
        {
          label: webhook.enabled ? 'Pause' : 'Resume',
          icon: webhook.enabled ? Pause : Play,
          disabled: !mayWrite,
          onSelect: () => change.mutate({ id: webhook.id, enabled: !webhook.enabled }, failed),
        },
        null,
        {
          label: 'Delete…',
          icon: Trash2,
          danger: true,
          disabled: !mayWrite,
          onSelect: () => setRemoving(webhook),
        },
      ]}
    />
  );
  const add = mayWrite && (
    <Button look="primary" onClick={() => setMaking(true)}>
      <Plus aria-hidden />
      New webhook
    </Button>
  );
  return (
    <Page
      title="Webhooks"
      subtitle="Events that are sent to other services, signed and repeated until they arrive."
      actions={add}
    >
      <PagedTable
        label="Outbound webhooks"
        query={webhooks}
        keyOf={(webhook) => webhook.id}
        columns={[
          {
            name: 'Address',
            cell: (webhook) => (
              <Link to="/webhooks/$webhookId" params={{ webhookId: webhook.id }} className="mono">
                {webhook.url}
              </Link>
            ),
          },
          { name: 'Events', cell: (webhook) => <span className="muted">{webhook.events.join(', ')}</span> },
          { name: 'Of', cell: (webhook) => (webhook.flow_id ? nameOf(webhook.flow_id) : 'all flows') },
          { name: 'State', cell: (webhook) => <State webhook={webhook} /> },
          { name: 'Actions', silent: true, end: true, cell: actions },
        ]}
        empty={
          <Empty icon={ListChecks} title="No outbound webhooks yet" action={add}>
            Tell another service when runs complete or fail.
          </Empty>
        }
      />
      <Hooks />
      <NewWebhook open={making} onClose={() => setMaking(false)} onKey={setKey} />
      <Dialog title="Signing key" open={key !== null} onClose={() => setKey(null)}>
        <ShownOnce label="The key that signs this webhook's messages" text={key ?? ''} />
      </Dialog>
      <Confirm
        title="Delete the webhook?"
        text="Deliveries that are waiting are not sent any more."
        action="Delete"
        open={removing !== null}
        onClose={() => setRemoving(null)}
        onConfirm={() => (removing ? remove.mutateAsync(removing.id) : Promise.resolve())}
      />
    </Page>
  );
}

function State({ webhook }: { webhook: Webhook }) {
  if (!webhook.enabled) {
    return (
      <span title={webhook.disabled_reason ?? ''}>
        <Badge tone={webhook.disabled_reason ? 'bad' : 'idle'}>
          {webhook.disabled_reason ? 'switched off' : 'paused'}
        </Badge>
      </span>
    );
  }
  return webhook.failing_since ? <Badge tone="warn">failing</Badge> : <Badge tone="good">active</Badge>;
}
