import type { ReactNode } from 'react';

import { Button } from '~/ui/Button';
import { DialogActions } from '~/ui/Dialog';
import { ErrorNote } from '~/ui/Notes';

import styles from './Form.module.css';

interface FormProps {
  action: string;
  /** What it does cannot be taken back. */
  danger?: boolean;
  busy: boolean;
  error: unknown;
  onSubmit: () => void;
  onCancel: () => void;
  children: ReactNode;
}

/** The form of a dialog: its fields, what the server said against it, and the two ways out. */
export function DialogForm({ action, danger = false, busy, error, onSubmit, onCancel, children }: FormProps) {
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit();
      }}
    >
      {children}
      {error !== null && error !== undefined && <ErrorNote error={error} />}
      <DialogActions>
        <Button onClick={onCancel}>Cancel</Button>
        <Button look={danger ? 'danger' : 'primary'} type="submit" busy={busy}>
          {action}
        </Button>
      </DialogActions>
    </form>
  );
}
