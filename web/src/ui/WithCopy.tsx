import type { ReactNode } from 'react';

import { Copy } from '~/ui/Copy';

import styles from './WithCopy.module.css';

/** Something with a button beside it that copies it, or what `text` says in its place. */
export function WithCopy({ text, label, children }: { text: string; label: string; children: ReactNode }) {
  return (
    <span className={styles.row}>
      <span className={styles.shown}>{children}</span>
      <Copy text={text} label={label} />
    </span>
  );
}
