import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type SyntheticEvent } from 'react';

import { logIn, sessionQuery } from '~/api/session';
import { Button } from '~/ui/Button';
import { TextField } from '~/ui/Field';
import { ErrorNote } from '~/ui/Notes';

import styles from './Login.module.css';

/** Name and password; begins a session. */
export function LoginForm({ username = '', onDone }: { username?: string; onDone?: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState(username);
  const [password, setPassword] = useState('');
  const login = useMutation({
    mutationFn: () => logIn(name, password),
    onSuccess: (identity) => {
      queries.setQueryData(sessionQuery.queryKey, identity);
      onDone?.();
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    login.mutate();
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <TextField
        label="User name"
        autoComplete="username"
        required
        maxLength={256}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <TextField
        label="Password"
        type="password"
        autoComplete="current-password"
        required
        value={password}
        onChange={(event) => setPassword(event.target.value)}
      />
      {login.isError && <ErrorNote error={login.error} />}
      <Button look="primary" type="submit" busy={login.isPending}>
        Log in
      </Button>
    </form>
  );
}
