import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { api, data } from '~/api/client';
import { sessionQuery, type Permission } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { ChoiceSet } from '~/ui/ChoiceSet';
import { Dialog } from '~/ui/Dialog';
import { Select, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { ShownOnce } from '~/ui/ShownOnce';

const DAY_MS = 86_400_000;
const EXPIRIES = [
  { value: '30', label: 'In 30 days' },
  { value: '90', label: 'In 90 days' },
  { value: '365', label: 'In a year' },
  { value: '', label: 'Never' },
];

/** Makes a token with a part of what its maker may do, and shows it. */
export function NewToken({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [token, setToken] = useState<string | null>(null);
  const close = () => {
    setToken(null);
    onClose();
  };
  return (
    <>
      <Dialog title="New token" open={open && token === null} onClose={onClose} wide>
        <Body onMade={setToken} onClose={onClose} />
      </Dialog>
      <ShownOnce title="The new token" label="The token" text={token} onDone={close} />
    </>
  );
}

function Body({ onMade, onClose }: { onMade: (token: string) => void; onClose: () => void }) {
  const { data: identity } = useQuery(sessionQuery);
  const all = identity?.permissions ?? [];
  const [name, setName] = useState('');
  const [days, setDays] = useState('90');
  const [scopes, setScopes] = useState<ReadonlySet<Permission>>(
    new Set(['flows:read', 'runs:read', 'runs:write']),
  );
  const make = useAction(
    ['tokens'],
    async () => {
      if (scopes.size === 0) throw new Error('Choose at least one thing that it may do.');
      const body = { name, scopes: [...scopes], expires_in_ms: days ? Number(days) * DAY_MS : null };
      return data(await api.POST('/v1/tokens', { body }));
    },
    (made) => onMade(made.token),
  );
  return (
    <DialogForm action="Make" act={make} onCancel={onClose}>
      <TextField
        label="Name"
        hint="What it is for."
        required
        maxLength={100}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <Select
        label="Expires"
        value={days}
        choices={EXPIRIES}
        onChange={(event) => setDays(event.target.value)}
      />
      <ChoiceSet legend="It may" choices={all} chosen={scopes} onChange={setScopes} />
    </DialogForm>
  );
}
