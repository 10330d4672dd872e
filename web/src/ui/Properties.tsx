import type { ReactNode } from 'react';

import styles from './Properties.module.css';

/** What a thing is, name by name; what is null or empty is left out. */
export function Properties({ of }: { of: Readonly<Record<string, ReactNode>> }) {
  return (
    <dl className={styles.list}>
      {Object.entries(of)
        .filter(([, value]) => value !== null && value !== undefined && value !== false && value !== '')
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
