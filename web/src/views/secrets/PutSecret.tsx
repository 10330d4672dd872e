import { useState } from 'react';

import { api } from '~/api/client';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { TextArea, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';

interface Props {
  /** The key of the secret that gets another value; null for a new one. */
  secret: string | null;
  open: boolean;
  onClose: () => void;
}

/** Stores a secret. */
export function PutSecret({ secret, open, onClose }: Props) {
  return (
    <Dialog title={secret === null ? 'New secret' : `Replace ${secret}`} open={open} onClose={onClose}>
      <Body secret={secret} onClose={onClose} />
    </Dialog>
  );
}

function Body({ secret, onClose }: Omit<Props, 'open'>) {
  const [key, setKey] = useState(secret ?? '');
  const [value, setValue] = useState('');
  const put = useAction(
    ['secrets'],
    () => api.PUT('/v1/secrets/{key}', { params: { path: { key } }, body: { value } }),
    onClose,
  );
  return (
    <DialogForm
      action="Store"
      busy={put.isPending}
      error={put.error}
      onSubmit={() => put.mutate()}
      onCancel={onClose}
    >
      {secret === null && (
        <TextField
          label="Key"
          hint="Such as SLACK_TOKEN."
          required
          autoComplete="off"
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
      )}
      <TextArea
        label="Value"
        hint="It is not shown again."
        required
        rows={4}
        autoComplete="off"
        spellCheck={false}
        value={value}
        onChange={(event) => setValue(event.target.value)}
      />
    </DialogForm>
  );
}
