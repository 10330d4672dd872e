import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type ReactNode, type SyntheticEvent } from 'react';

import { sessionQuery, type Identity } from '~/api/session';
import { Button } from '~/ui/Button';
import { TextField } from '~/ui/Field';
import { ErrorNote } from '~/ui/Notes';

import styles from './Login.module.css';

/** Characters of a new password; the server refuses shorter ones. */
const SHORTEST = 12;

interface Props {
  action: string;
  username?: string;
  hint?: string;
  /** A new password: the browser offers to make one. */
  fresh?: boolean;
  /** Begins the session. */
  begin: (username: string, password: string) => Promise<Identity>;
  onDone?: () => void;
  children?: ReactNode;
}

/** A user name and a password, and what else is asked before a session begins. */
export function AccessForm({ action, username = '', hint, fresh = false, begin, onDone, children }: Props) {
  const queries = useQueryClient();
  const [name, setName] = useState(username);
  const [password, setPassword] = useState('');
  const access = useMutation({
    mutationFn: () => begin(name, password),
    onSuccess: (identity) => {
      queries.setQueryData(sessionQuery.queryKey, identity);
      onDone?.();
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    access.mutate();
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      {children}
      <TextField
        label="User name"
        hint={hint}
        autoComplete="username"
        required
        maxLength={256}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <TextField
        label="Password"
        type="password"
        {...(fresh && { hint: `At least ${String(SHORTEST)} characters.`, minLength: SHORTEST })}
        autoComplete={fresh ? 'new-password' : 'current-password'}
        required
        value={password}
        onChange={(event) => setPassword(event.target.value)}
      />
      {access.isError && <ErrorNote error={access.error} />}
      <Button look="primary" type="submit" busy={access.isPending}>
        {action}
      </Button>
    </form>
  );
}
