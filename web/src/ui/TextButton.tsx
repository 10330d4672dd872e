import type { ReactNode } from 'react';

import styles from './TextButton.module.css';

/** A button within a table's text, which looks like a link: it opens more about a thing. */
export function TextButton({ onClick, children }: { onClick: () => void; children: ReactNode }) {
  return (
    <button type="button" className={styles.link} onClick={onClick}>
      {children}
    </button>
  );
}
