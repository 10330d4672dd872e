import { Copy } from '~/ui/Copy';
import { WarnNote } from '~/ui/Notes';

import styles from './ShownOnce.module.css';

/** A text that nobody can have again: a token, or the key that signs webhooks. */
export function ShownOnce({ label, text }: { label: string; text: string }) {
  return (
    <>
      <WarnNote>{label} is shown this once. Put it where it is needed now.</WarnNote>
      <div className={styles.once}>
        <code aria-label={label}>{text}</code>
        <Copy text={text} label={`Copy: ${label}`} />
      </div>
    </>
  );
}
