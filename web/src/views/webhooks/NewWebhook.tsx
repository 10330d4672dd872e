import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { flowNamesQuery } from '~/api/flowNames';
import { useAction } from '~/lib/useAction';
import { ChoiceSet } from '~/ui/ChoiceSet';
import { Dialog } from '~/ui/Dialog';
import { Select, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';

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

interface Props {
  open: boolean;
  onClose: () => void;
  /** Hears the key that signs the messages: it is shown once. */
  onKey: (key: string) => void;
}

/** Lets events be sent to an address. */
export function NewWebhook({ open, onClose, onKey }: Props) {
  return (
    <Dialog title="New webhook" open={open} onClose={onClose} wide>
      <Body onClose={onClose} onKey={onKey} />
    </Dialog>
  );
}

function Body({ onClose, onKey }: Omit<Props, 'open'>) {
  const { data: flows = [] } = useQuery(flowNamesQuery);
  const [url, setUrl] = useState('');
  const [flow, setFlow] = useState('');
  const [description, setDescription] = useState('');
  const [events, setEvents] = useState<ReadonlySet<Event>>(new Set<Event>(['run.completed', 'run.failed']));
  const make = useAction(
    ['webhooks'],
    async () =>
      data(
        await api.POST('/v1/webhooks', {
          body: {
            url,
            events: [...events],
            flow_id: flow || null,
            description,
            nodes: [],
            headers: {},
            enabled: true,
          },
        }),
      ),
    (made) => {
      onClose();
      onKey(made.signing_key);
    },
  );
  return (
    <DialogForm
      action="Make"
      busy={make.isPending}
      error={make.error}
      onSubmit={() => make.mutate()}
      onCancel={onClose}
    >
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
      <Select
        label="Of"
        value={flow}
        choices={[
          { value: '', label: 'All flows' },
          ...flows.map(({ id, name }) => ({ value: id, label: name })),
        ]}
        onChange={(event) => setFlow(event.target.value)}
      />
      <ChoiceSet legend="Events" choices={EVENTS} chosen={events} onChange={setEvents} />
    </DialogForm>
  );
}
