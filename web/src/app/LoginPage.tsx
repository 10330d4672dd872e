import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';

import { signUpQuery } from '~/api/session';
import { LoginForm } from '~/app/LoginForm';
import { SignUpForm } from '~/app/SignUpForm';

import styles from './Login.module.css';

/** What somebody sees whom the server does not know. */
export function LoginPage() {
  const [signingUp, setSigningUp] = useState(false);
  const open = useQuery(signUpQuery).data ?? false;
  const title = signingUp ? 'Make an account' : 'Log in';
  useEffect(() => {
    document.title = `${title} · flowrunner`;
  }, [title]);
  return (
    <main className={styles.login}>
      <div className={styles.box}>
        <div className={styles.brand}>
          <img src="/favicon.svg" alt="" />
          flowrunner
        </div>
        <h1>{title}</h1>
        {signingUp ? <SignUpForm /> : <LoginForm />}
        {open && (
          <p className={`${styles.switch ?? ''} muted`}>
            {signingUp ? 'You have one already? ' : 'No account yet? '}
            <button type="button" className={styles.link} onClick={() => setSigningUp(!signingUp)}>
              {signingUp ? 'Log in' : 'Sign up'}
            </button>
          </p>
        )}
      </div>
    </main>
  );
}
