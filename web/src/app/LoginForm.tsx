import { logIn } from '~/api/session';
import { AccessForm } from '~/app/AccessForm';

/** Name and password; begins a session. */
export function LoginForm(known: { username?: string; onDone?: () => void }) {
  return <AccessForm action="Log in" begin={logIn} {...known} />;
}
