import { KeyRound, Pause, Pencil, Play, Send, Trash2 } from 'lucide-react';
import { useState } from 'react';

import { api, data } from '~/api/client';
import { useAction } from '~/lib/useAction';
import { Confirm } from '~/ui/Dialog';
import { Menu } from '~/ui/Menu';
import { ShownOnce } from '~/ui/ShownOnce';
import { useSay } from '~/ui/Toasts';
import { WebhookForm, type Webhook } from '~/views/webhooks/WebhookForm';

const IN_FLOW = 'It stands in its flow: do it there.';

interface Props {
  webhook: Webhook;
  onDeleted?: () => void;
}

/** What can be done with a webhook, for who may. */
export function WebhookActions({ webhook, onDeleted }: Props) {
  const say = useSay();
  const [asking, setAsking] = useState<'change' | 'key' | 'delete' | null>(null);
  const [key, setKey] = useState<string | null>(null);
  const path = { webhook_id: webhook.id };
  const close = () => setAsking(null);
  const enable = useAction(['webhooks'], (enabled: boolean) =>
    api.PATCH('/v1/webhooks/{webhook_id}', { params: { path }, body: { enabled } }),
  );
  const remove = useAction(
    ['webhooks', 'list'],
    () => api.DELETE('/v1/webhooks/{webhook_id}', { params: { path } }),
    onDeleted,
  );
  const rotate = useAction(
    ['webhooks'],
    async () => data(await api.POST('/v1/webhooks/{webhook_id}/rotate-secret', { params: { path } })),
    (made) => setKey(made.signing_key),
  );
  const test = useAction(
    ['webhooks'],
    () => api.POST('/v1/webhooks/{webhook_id}/test', { params: { path } }),
    () => say('A test event is on its way: see its deliveries.'),
  );
  const failed = { onError: (error: Error) => say(error.message) };
  const inFlow = webhook.source === 'flow' && IN_FLOW;
  return (
    <>
      <Menu
        label={`Actions for ${webhook.url}`}
        items={[
          {
            label: 'Send a test',
            icon: Send,
            reason: !webhook.enabled && 'It is paused.',
            onSelect: () => test.mutate(undefined, failed),
          },
          {
            label: webhook.enabled ? 'Pause' : 'Resume',
            icon: webhook.enabled ? Pause : Play,
            onSelect: () => enable.mutate(!webhook.enabled, failed),
          },
          { label: 'Change…', icon: Pencil, reason: inFlow, onSelect: () => setAsking('change') },
          {
            label: 'New signing key…',
            icon: KeyRound,
            reason: unsigned(webhook),
            onSelect: () => setAsking('key'),
          },
          null,
          {
            label: 'Delete…',
            icon: Trash2,
            danger: true,
            reason: inFlow,
            onSelect: () => setAsking('delete'),
          },
        ]}
      />
      {asking === 'change' && <WebhookForm webhook={webhook} onClose={close} />}
      <Confirm
        title="Make a new signing key?"
        text="The present one signs as well for 24 hours, so that the receiver can change over."
        action="Make it"
        danger={false}
        open={asking === 'key'}
        onClose={close}
        onConfirm={() => rotate.mutateAsync()}
      />
      <Confirm
        title="Delete the webhook?"
        text="Deliveries that are waiting are not sent any more."
        action="Delete"
        open={asking === 'delete'}
        onClose={close}
        onConfirm={() => remove.mutateAsync()}
      />
      <SigningKey text={key} onClose={() => setKey(null)} />
    </>
  );
}

function unsigned(webhook: Webhook): string | null {
  if (webhook.secret !== null) return `The secret ${webhook.secret} signs it: replace that.`;
  return webhook.signed ? null : 'It is not signed.';
}

/** The key that verifies what is sent, this once. */
export function SigningKey({ text, onClose }: { text: string | null; onClose: () => void }) {
  return (
    <ShownOnce
      title="Signing key"
      label="The key that signs this webhook's messages"
      text={text}
      onDone={onClose}
    />
  );
}
