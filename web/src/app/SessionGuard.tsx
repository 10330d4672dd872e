import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState, type ReactNode } from 'react';

import { whenExpired } from '~/api/client';
import { forget, sessionQuery } from '~/api/session';
import { LoginForm } from '~/app/LoginForm';
import { LoginPage } from '~/app/LoginPage';
import { Button } from '~/ui/Button';
import { Dialog } from '~/ui/Dialog';
import { ErrorNote, Skeleton } from '~/ui/Notes';

import styles from './Login.module.css';

/**
 * Shows the console to whom the server knows. When the session ends under way, a window asks for the password and
 * the page stays as it is beneath: what was being edited is not lost.
 */
export function SessionGuard({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const session = useQuery(sessionQuery);
  const [expired, setExpired] = useState(false);
  useEffect(() => {
    whenExpired(() => setExpired(true));
  }, []);
  if (session.isPending) return <Skeleton lines={8} />;
  if (session.data === undefined) {
    return (
      <main className={styles.login}>
        <ErrorNote error={session.error} onRetry={() => void session.refetch()} />
      </main>
    );
  }
  if (session.data === null) return <LoginPage />;
  const back = () => {
    setExpired(false);
    void queries.invalidateQueries();
  };
  const leave = () => {
    setExpired(false);
    forget(queries);
  };
  return (
    <>
      {children}
      <Dialog
        title="Your session has ended"
        description="Log in again to go on. Nothing on this page is lost."
        open={expired}
        onClose={null}
      >
        <LoginForm username={session.data.name} onDone={back} />
        <Button look="quiet" onClick={leave}>
          Leave this page instead
        </Button>
      </Dialog>
    </>
  );
}
