import { useState } from 'react';

import { api } from '~/api/client';
import { logIn } from '~/api/session';
import { AccessForm } from '~/app/AccessForm';
import { TextField } from '~/ui/Field';

/** Makes an account with its owner, and logs in. A server that is closed for this says so. */
export function SignUpForm() {
  const [account, setAccount] = useState('');
  const begin = async (username: string, password: string) => {
    await api.POST('/v1/accounts', { body: { name: account, username, password } });
    return logIn(username, password);
  };
  return (
    <AccessForm action="Sign up" hint="An e-mail address, for example." fresh begin={begin}>
      <TextField
        label="Account"
        hint="Your team's or project's name."
        required
        value={account}
        onChange={(event) => setAccount(event.target.value)}
      />
    </AccessForm>
  );
}
