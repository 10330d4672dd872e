import { useState } from 'react';

import { api } from '~/api/client';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { TextArea, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';

interface Props {
  /** The key of the secret that gets another value; null for a new one. */
  secret: string | null;
  onClose: () => void;
}

/** Stores a secret. */
export function PutSecret({ secret, onClose }: Props) {
  const [key, setKey] = useState(secret ?? '');
  const [value, setValue] = useState('');
  const put = useAction(
    ['secrets'],
    () => api.PUT('/v1/secrets/{key}', { params: { path: { key } }, body: { value } }),
    onClose,
  );
  return (
    <Dialog title={secret === null ? 'New secret' : `Replace ${secret}`} open onClose={onClose}>
      <DialogForm action="Store" act={put} onCancel={onClose}>
        {secret === null && (
          <TextField
            label="Key"
            hint={
              <>
                Flows read it as <code>{`\${secrets.${key || 'SLACK_TOKEN'}}`}</code>.
              </>
            }
            required
            maxLength={128}
            pattern="[A-Za-z_][A-Za-z0-9_]*"
            title="A letter or _, then letters, digits and _."
            spellCheck={false}
            autoComplete="off"
            value={key}
            onChange={(event) => setKey(event.target.value)}
          />
        )}
        <TextArea
          label="Value"
          hint="At least 4 characters. It is not shown again."
          required
          minLength={4}
          rows={4}
          autoComplete="off"
          spellCheck={false}
          value={value}
          onChange={(event) => setValue(event.target.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
