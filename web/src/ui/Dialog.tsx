import { X } from 'lucide-react';
import { Dialog as Radix } from 'radix-ui';
import { useRef, useState, type ReactNode } from 'react';

import { Button, IconButton } from '~/ui/Button';
import { ErrorNote } from '~/ui/Notes';

import styles from './Dialog.module.css';

interface DialogProps {
  title: string;
  description?: string;
  open: boolean;
  /** Null for a window that stays until what it asks for is done. */
  onClose: (() => void) | null;
  wide?: boolean;
  children: ReactNode;
}

const FIELD = ['input:not([hidden])', 'select', 'textarea'].map((one) => `${one}:not(:disabled)`).join();

/** A window over the page, which begins with its first field. Escape and a click outside close it. */
export function Dialog({ title, description, open, onClose, wide = false, children }: DialogProps) {
  // No button of Radix opens it: where the focus was, only we know.
  const before = useRef<Element>(null);
  return (
    <Radix.Root open={open} onOpenChange={(next) => !next && onClose?.()}>
      <Radix.Portal>
        <Radix.Overlay className={styles.overlay} />
        <Radix.Content
          className={[styles.dialog, wide && styles.wide].filter(Boolean).join(' ')}
          onOpenAutoFocus={(event) => {
            before.current = document.activeElement;
            const field = event.currentTarget instanceof Element && event.currentTarget.querySelector(FIELD);
            if (!(field instanceof HTMLElement)) return;
            event.preventDefault();
            field.focus();
          }}
          onCloseAutoFocus={(event) => {
            event.preventDefault();
            if (before.current instanceof HTMLElement) before.current.focus();
          }}
          {...(description ? {} : { 'aria-describedby': undefined })}
        >
          <div className={styles.head}>
            <Radix.Title asChild>
              <h2>{title}</h2>
            </Radix.Title>
            {onClose && (
              <Radix.Close asChild>
                <IconButton label="Close" small>
                  <X aria-hidden />
                </IconButton>
              </Radix.Close>
            )}
          </div>
          <div className={styles.body}>
            {description && <Radix.Description className="muted">{description}</Radix.Description>}
            {children}
          </div>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

/** The row of buttons at the end of a dialog's form. */
export function DialogActions({ children }: { children: ReactNode }) {
  return <div className={styles.actions}>{children}</div>;
}

interface ConfirmProps {
  title: string;
  text: string;
  action: string;
  danger?: boolean;
  open: boolean;
  onClose: () => void;
  onConfirm: () => Promise<unknown>;
}

/** Asks before something that cannot be taken back; stays open, with the reason, when it fails. */
export function Confirm({ title, text, action, danger = true, open, onClose, onConfirm }: ConfirmProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const close = () => {
    setError(null);
    onClose();
  };
  const confirm = async () => {
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
      onClose();
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} description={text} open={open} onClose={close}>
      {error !== null && <ErrorNote error={error} />}
      <DialogActions>
        <Button onClick={close}>Keep</Button>
        <Button look={danger ? 'danger' : 'primary'} busy={busy} onClick={confirm}>
          {action}
        </Button>
      </DialogActions>
    </Dialog>
  );
}
