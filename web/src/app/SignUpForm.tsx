import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type SyntheticEvent } from 'react';

import { api } from '~/api/client';
import { logIn, sessionQuery } from '~/api/session';
import { Button } from '~/ui/Button';
import { TextField } from '~/ui/Field';
import { ErrorNote } from '~/ui/Notes';

import styles from './Login.module.css';

/** Makes an account with its owner, and logs in. A server that is closed for this says so. */
export function SignUpForm() {
  const queries = useQueryClient();
  const [account, setAccount] = useState('');
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const signUp = useMutation({
    mutationFn: async () => {
      await api.POST('/v1/accounts', { body: { name: account, username, password } });
      return logIn(username, password);
    },
    onSuccess: (identity) => queries.setQueryData(sessionQuery.queryKey, identity),
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    signUp.mutate();
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <TextField
        label="Account"
        hint="Your team's or project's name."
        required
        value={account}
        onChange={(event) => setAccount(event.target.value)}
      />
      <TextField
        label="User name"
        hint="An e-mail address, for example."
        autoComplete="username"
        required
        value={username}
        onChange={(event) => setUsername(event.target.value)}
      />
      <TextField
        label="Password"
        type="password"
        autoComplete="new-password"
        required
        value={password}
        onChange={(event) => setPassword(event.target.value)}
      />
      {signUp.isError && <ErrorNote error={signUp.error} />}
      <Button look="primary" type="submit" busy={signUp.isPending}>
        Sign up
      </Button>
    </form>
  );
}
