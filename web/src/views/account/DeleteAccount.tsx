import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { api } from '~/api/client';
import { forget } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { WarnNote } from '~/ui/Notes';

/** Ends the account after its name was typed. */
export function DeleteAccount({ name, onClose }: { name: string; onClose: () => void }) {
  const queries = useQueryClient();
  const [typed, setTyped] = useState('');
  const remove = useAction(
    [],
    () => api.DELETE('/v1/account', { params: { query: { confirm: typed } } }),
    () => forget(queries),
  );
  return (
    <Dialog title="Delete the account?" open onClose={onClose}>
      <DialogForm action="Delete everything" danger act={remove} onCancel={onClose}>
        <WarnNote>
          All users are shut out at once, runs are cancelled, and flows, runs, secrets and the audit log are
          removed. Nothing brings them back.
        </WarnNote>
        <TextField
          label={`Type the account's name: ${name}`}
          required
          autoComplete="off"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
