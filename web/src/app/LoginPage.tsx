import { useEffect, useState } from 'react';

import { LoginForm } from '~/app/LoginForm';
import { SignUpForm } from '~/app/SignUpForm';

import styles from './Login.module.css';

/** What somebody sees whom the server does not know. */
export function LoginPage() {
  const [signingUp, setSigningUp] = useState(false);
  useEffect(() => {
    document.title = 'Log in · flowrunner';
  }, []);
  return (
    <main className={styles.login}>
      <div className={styles.box}>
        <div className={styles.brand}>
          <img src="/favicon.svg" alt="" />
          flowrunner
        </div>
        <h1>{signingUp ? 'Make an account' : 'Log in'}</h1>
        {signingUp ? <SignUpForm /> : <LoginForm />}
        <p className={`${styles.switch ?? ''} muted`}>
          {signingUp ? 'You have one already? ' : 'No account yet? '}
          <button type="button" className={styles.link} onClick={() => setSigningUp(!signingUp)}>
            {signingUp ? 'Log in' : 'Sign up'}
          </button>
        </p>
      </div>
    </main>
  );
}
