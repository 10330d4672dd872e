import { useState } from 'react';

import { api } from '~/api/client';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { useSay } from '~/ui/Toasts';
import { MIN_PASSWORD } from '~/views/users/roles';

interface Props {
  user: { id: string; name: string };
  /** Whoever changes their own password says the old one, too. */
  own: boolean;
  onClose: () => void;
}

/** Sets a password; the user's other sessions end. */
export function ChangePassword({ user, own, onClose }: Props) {
  const say = useSay();
  const [old, setOld] = useState('');
  const [password, setPassword] = useState('');
  const change = useAction(
    ['users'],
    () =>
      api.POST('/v1/users/{user_id}/password', {
        params: { path: { user_id: user.id } },
        body: { password, ...(own && { old_password: old }) },
      }),
    () => {
      say('The password is changed.');
      onClose();
    },
  );
  return (
    <Dialog title={`Password of ${user.name}`} open onClose={onClose}>
      <DialogForm action="Change" act={change} onCancel={onClose}>
        {own && (
          <TextField
            label="Present password"
            type="password"
            required
            autoComplete="current-password"
            value={old}
            onChange={(event) => setOld(event.target.value)}
          />
        )}
        <TextField
          label="New password"
          type="password"
          hint={`At least ${MIN_PASSWORD} characters.`}
          required
          minLength={MIN_PASSWORD}
          autoComplete="new-password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
