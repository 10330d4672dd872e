import type { ReactNode } from 'react';

import { Button } from '~/ui/Button';
import { DialogActions } from '~/ui/Dialog';
import { ErrorNote } from '~/ui/Notes';

import styles from './Form.module.css';

/** As much of a mutation as a form needs. */
interface Act {
  isPending: boolean;
  error: unknown;
  mutate: () => void;
}

interface FormProps {
  action: string;
  /** What it does cannot be taken back. */
  danger?: boolean;
  /** What sending it off does. */
  act: Act;
  /** While something is being read that it needs. */
  wait?: boolean;
  onCancel: () => void;
  children: ReactNode;
}

/** The form of a dialog: its fields, what the server said against it, and the two ways out. */
export function DialogForm({ action, danger = false, act, wait = false, onCancel, children }: FormProps) {
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        act.mutate();
      }}
    >
      {children}
      {Boolean(act.error) && <ErrorNote error={act.error} />}
      <DialogActions>
        <Button onClick={onCancel}>Cancel</Button>
        <Button look={danger ? 'danger' : 'primary'} type="submit" busy={act.isPending || wait}>
          {action}
        </Button>
      </DialogActions>
    </form>
  );
}
