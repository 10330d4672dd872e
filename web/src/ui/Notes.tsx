import { CircleAlert, TriangleAlert, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';

import { ApiError } from '~/api/client';
import { Button } from '~/ui/Button';
import { ErrorCode } from '~/ui/ErrorCode';

import styles from './Notes.module.css';

interface ErrorProps {
  error: unknown;
  onRetry?: () => void;
  /** Of an error that did not come as an answer of the server's. */
  code?: string | undefined;
}

/** What went wrong, in words: the server's, with the places it named, its code and the id to quote. */
export function ErrorNote({ error, onRetry, code = codeOf(error) }: ErrorProps) {
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
                {typeof place.line === 'number' && <span className="mono">line {place.line}: </span>}
                {place.field && <code>{place.field}</code>} {place.message}
              </li>
            ))}
          </ul>
        )}
        {(code !== undefined || quote !== null) && (
          <p className={styles.fine}>
            {code !== undefined && <ErrorCode code={code} />}
            {quote !== null && (
              <span>
                Correlation id <code>{quote}</code>
              </span>
            )}
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

/** The code of a refusal, where it says more than the words do. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof ApiError) || error.status === 401) return undefined;
  return error.code === 'UNKNOWN' || error.code === 'UNREACHABLE' ? undefined : error.code;
}

export function WarnNote({ children }: { children: ReactNode }) {
  return (
    <div className={`${styles.note ?? ''} ${styles.warn ?? ''}`} role="status">
      <TriangleAlert aria-hidden />
      <div className={styles.text}>{children}</div>
    </div>
  );
}

/** Something worth knowing, neither good nor bad. */
export function PlainNote({ icon: Icon, children }: { icon: LucideIcon; children: ReactNode }) {
  return (
    <div className={styles.note} role="status">
      <Icon aria-hidden />
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
