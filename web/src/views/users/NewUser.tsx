import { useState } from 'react';

import { api } from '~/api/client';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { Select, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { MIN_PASSWORD, ROLES, type Role } from '~/views/users/roles';

/** Adds somebody to the account. */
export function NewUser({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [role, setRole] = useState<Role>('editor');
  const make = useAction(['users'], () => api.POST('/v1/users', { body: { name, password, role } }), onClose);
  return (
    <Dialog title="New user" open onClose={onClose}>
      <DialogForm action="Add" act={make} onCancel={onClose}>
        <TextField
          label="User name"
          required
          autoComplete="off"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <TextField
          label="Password"
          type="password"
          hint={`At least ${MIN_PASSWORD} characters. Tell it to them; they can change it.`}
          required
          minLength={MIN_PASSWORD}
          autoComplete="new-password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        <Select
          label="Role"
          value={role}
          choices={ROLES}
          onChange={(event) => setRole(event.target.value as Role)}
        />
      </DialogForm>
    </Dialog>
  );
}
