import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { useAction } from '~/lib/useAction';
import { ChoiceSet } from '~/ui/ChoiceSet';
import { Dialog } from '~/ui/Dialog';
import { TextArea, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { FlowSelect } from '~/views/flows/FlowSelect';
import { headersText, readHeaders, readNodes } from '~/views/webhooks/headers';

export type Webhook = Schemas['WebhookModel'];
type Event = Schemas['WebhookWish']['events'][number];

const EVENTS: readonly Event[] = [
  'run.started',
  'run.completed',
  'run.failed',
  'run.cancelled',
  'step.succeeded',
  'step.failed',
  'step.retrying',
  'step.waiting',
  'step.event',
];

function isEvent(name: string): name is Event {
  return EVENTS.some((event) => event === name);
}

interface Props {
  /** The one to change; null for a new one. */
  webhook: Webhook | null;
  onClose: () => void;
  /** Hears the key that signs the messages of a new one: it is shown once. */
  onKey?: (key: string) => void;
}

/** Lets events be sent to an address, or changes which and how. */
export function WebhookForm({ webhook, onClose, onKey }: Props) {
  const [url, setUrl] = useState(webhook?.url ?? '');
  const [flow, setFlow] = useState(webhook?.flow_id ?? '');
  const [description, setDescription] = useState(webhook?.description ?? '');
  const [nodes, setNodes] = useState(webhook?.nodes.join(', ') ?? '');
  const [headers, setHeaders] = useState(headersText(webhook?.headers ?? {}));
  const [events, setEvents] = useState<ReadonlySet<Event>>(
    new Set<Event>(webhook?.events.filter(isEvent) ?? ['run.completed', 'run.failed']),
  );
  const save = useAction(
    ['webhooks'],
    async () => {
      const body = {
        url,
        description,
        events: EVENTS.filter((event) => events.has(event)),
        nodes: readNodes(nodes),
        headers: readHeaders(headers),
      };
      if (body.events.length === 0) throw new Error('Choose at least one event.');
      if (webhook === null) {
        const wish = { ...body, flow_id: flow || null, enabled: true };
        return data(await api.POST('/v1/webhooks', { body: wish })).signing_key;
      }
      await api.PATCH('/v1/webhooks/{webhook_id}', {
        params: { path: { webhook_id: webhook.id } },
        body,
      });
      return null;
    },
    (key) => {
      onClose();
      if (key !== null) onKey?.(key);
    },
  );
  return (
    <Dialog title={webhook ? 'Change the webhook' : 'New webhook'} open onClose={onClose} wide>
      <DialogForm action={webhook ? 'Save' : 'Make'} act={save} onCancel={onClose}>
        <TextField
          label="Address"
          type="url"
          placeholder="https://example.com/hooks/flowrunner"
          required
          value={url}
          onChange={(event) => setUrl(event.target.value)}
        />
        <TextField
          label="Description"
          value={description}
          onChange={(event) => setDescription(event.target.value)}
        />
        <FlowSelect
          label="Of"
          none="All flows"
          disabled={webhook !== null}
          hint={webhook && 'It stays with what it was made for.'}
          value={flow}
          onFlow={setFlow}
        />
        <ChoiceSet legend="Events" choices={EVENTS} chosen={events} onChange={setEvents} />
        {EVENTS.some((event) => event.startsWith('step.') && events.has(event)) && (
          <TextField
            label="Only steps of these nodes"
            hint="Their names, with commas between them; none: those of all nodes."
            autoComplete="off"
            value={nodes}
            onChange={(event) => setNodes(event.target.value)}
          />
        )}
        <TextArea
          label="Headers to send along"
          hint="One on each line, as in X-Team: orders. They are no place for secrets: they are shown as they are."
          rows={2}
          spellCheck={false}
          value={headers}
          onChange={(event) => setHeaders(event.target.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
