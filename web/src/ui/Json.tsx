import { useState } from 'react';

import { Button } from '~/ui/Button';

import styles from './Json.module.css';

const PAGE = 100;
const LONG = 2_000;

/** A JSON value as a tree; long lists and texts open in portions. */
export function Json({ value, depth = 0 }: { value: unknown; depth?: number }) {
  return (
    <div className={styles.json}>
      <Value value={value} open={depth < 2} depth={depth} />
    </div>
  );
}

interface ValueProps {
  value: unknown;
  name?: string;
  open: boolean;
  depth: number;
}

function Value({ value, name, open, depth }: ValueProps) {
  const label = name !== undefined && <span className={styles.key}>{name}: </span>;
  if (typeof value !== 'object' || value === null) {
    return (
      <div>
        {label}
        <Scalar value={value} />
      </div>
    );
  }
  const entries = Object.entries(value);
  const [from, to] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  if (entries.length === 0) {
    return (
      <div>
        {label}
        {from + to}
      </div>
    );
  }
  return (
    <details open={open}>
      <summary>
        {label}
        {from} <span className="muted">{entries.length}</span> {to}
      </summary>
      <Children entries={entries} depth={depth} />
    </details>
  );
}

function Children({ entries, depth }: { entries: readonly [string, unknown][]; depth: number }) {
  const [shown, setShown] = useState(PAGE);
  return (
    <div className={styles.children}>
      {entries.slice(0, shown).map(([key, value]) => (
        <Value key={key} name={key} value={value} open={depth < 1} depth={depth + 1} />
      ))}
      {entries.length > shown && (
        <Button small className={styles.more ?? ''} onClick={() => setShown(shown + PAGE)}>
          {Math.min(PAGE, entries.length - shown)} more of {entries.length - shown}
        </Button>
      )}
    </div>
  );
}

function Scalar({ value }: { value: unknown }) {
  const [whole, setWhole] = useState(false);
  if (typeof value === 'string') {
    const cut = !whole && value.length > LONG;
    return (
      <>
        <span className={styles.string}>{JSON.stringify(cut ? value.slice(0, LONG) : value)}</span>
        {cut && (
          <Button small onClick={() => setWhole(true)}>
            all {value.length.toLocaleString('en')} characters
          </Button>
        )}
      </>
    );
  }
  return <span className={typeof value === 'number' ? styles.number : styles.word}>{String(value)}</span>;
}
