import { CircleAlert, TriangleAlert, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';

import { ApiError } from '~/api/client';
import { Button } from '~/ui/Button';

import styles from './Notes.module.css';

/** What went wrong, in words: the server's, with the places it named and the id to quote. */
export function ErrorNote({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const places = error instanceof ApiError ? error.places : [];
  const quote = error instanceof ApiError && error.status >= 500 ? error.correlationId : null;
  return (
    <div className={`${styles.note ?? ''} ${styles.bad ?? ''}`} role="alert">
      <CircleAlert aria-hidden />
      <div className={styles.text}>
        <p>{error instanceof Error ? error.message : 'Something went wrong.'}</p>
        {places.length > 0 && (
          <ul className={styles.places}>
            {places.map((place, index) => (
              <li key={index}>
                {place.line !== null && <span className="mono">line {place.line}: </span>}
                {place.field && <code>{place.field}</code>} {place.message}
              </li>
            ))}
          </ul>
        )}
        {quote && (
          <p className={styles.fine}>
            Correlation id <code>{quote}</code>
          </p>
        )}
      </div>
      {onRetry && (
        <Button small onClick={onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}

export function WarnNote({ children }: { children: ReactNode }) {
  return (
    <div className={`${styles.note ?? ''} ${styles.warn ?? ''}`}>
      <TriangleAlert aria-hidden />
      <div className={styles.text}>{children}</div>
    </div>
  );
}

/** Nothing is here yet: what would be, and how to get it. */
export function Empty({
  icon: Icon,
  title,
  children,
  action,
}: {
  icon: LucideIcon;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className={styles.empty}>
      <Icon aria-hidden />
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {action}
    </div>
  );
}

/** Grey bars in the place of what is being loaded. */
export function Skeleton({ lines = 5 }: { lines?: number }) {
  return (
    <div className={styles.skeleton} role="status">
      <span className="visually-hidden">Loading</span>
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} className={styles.bar} style={{ width: `${String(92 - ((index * 17) % 40))}%` }} />
      ))}
    </div>
  );
}
