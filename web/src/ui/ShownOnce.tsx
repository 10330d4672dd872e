import { Button } from '~/ui/Button';
import { Copy } from '~/ui/Copy';
import { Dialog, DialogActions } from '~/ui/Dialog';
import { WarnNote } from '~/ui/Notes';

import styles from './ShownOnce.module.css';

interface Props {
  title: string;
  label: string;
  /** Null while there is nothing to show. */
  text: string | null;
  onDone: () => void;
}

/**
 * A text that nobody can have again: a token, or the key that signs webhooks. Its window stays until somebody says that
 * they have it: a slip of the hand would lose it.
 */
export function ShownOnce({ title, label, text, onDone }: Props) {
  return (
    <Dialog title={title} open={text !== null} onClose={null} wide>
      <WarnNote>{label} is shown this once. Put it where it is needed now.</WarnNote>
      <div className={styles.once}>
        <code aria-label={label}>{text}</code>
        <Copy text={text ?? ''} label={`Copy: ${label}`} />
      </div>
      <DialogActions>
        <Button look="primary" onClick={onDone}>
          Done
        </Button>
      </DialogActions>
    </Dialog>
  );
}
