import { useMemo, useState } from 'react';

import { Button } from '~/ui/Button';
import { LongText } from '~/ui/LongText';
import { glimpse } from '~/ui/glimpse';

import styles from './Json.module.css';

const PAGE = 100;
const LONG = 2_000;

/** A JSON value as a tree; long lists and texts open in portions, and what is closed is not drawn. */
export function Json({ value }: { value: unknown }) {
  return (
    <div className={styles.json}>
      <Value value={value} depth={0} />
    </div>
  );
}

interface ValueProps {
  value: unknown;
  name?: string;
  depth: number;
}

function Value({ value, name, depth }: ValueProps) {
  const label = name !== undefined && <span className={styles.key}>{name}: </span>;
  if (typeof value !== 'object' || value === null) {
    return (
      <div>
        {label}
        <Scalar value={value} />
      </div>
    );
  }
  return <Branch value={value} label={label} depth={depth} />;
}

interface BranchProps {
  value: object;
  label: React.ReactNode;
  depth: number;
}

function Branch({ value, label, depth }: BranchProps) {
  const [open, setOpen] = useState(depth < 2);
  const isList = Array.isArray(value);
  const count = isList ? value.length : Object.keys(value).length;
  const [from, to] = isList ? '[]' : '{}';
  if (count === 0) {
    return (
      <div>
        {label}
        {from}
        {to}
      </div>
    );
  }
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {label}
        {open ? (
          <>
            {from} <span className="muted">{count.toLocaleString('en')}</span> {to}
          </>
        ) : (
          <span className="muted">{glimpse(value)}</span>
        )}
      </summary>
      {open && <Children value={value} depth={depth} />}
    </details>
  );
}

function Children({ value, depth }: { value: object; depth: number }) {
  const [shown, setShown] = useState(PAGE);
  const names = useMemo(() => Object.keys(value), [value]);
  return (
    <div className={styles.children}>
      {names.slice(0, shown).map((name) => (
        <Value key={name} name={name} value={(value as Record<string, unknown>)[name]} depth={depth + 1} />
      ))}
      {names.length > shown && (
        <Button small className={styles.more ?? ''} onClick={() => setShown(shown + PAGE)}>
          {Math.min(PAGE, names.length - shown)} more of {(names.length - shown).toLocaleString('en')}
        </Button>
      )}
    </div>
  );
}

function Scalar({ value }: { value: unknown }) {
  const [whole, setWhole] = useState(false);
  if (typeof value !== 'string') {
    return <span className={typeof value === 'number' ? styles.number : styles.word}>{String(value)}</span>;
  }
  if (!whole && value.length > LONG) {
    return (
      <>
        <span className={styles.string}>{JSON.stringify(value.slice(0, LONG)).slice(0, -1)}…</span>{' '}
        <Button small onClick={() => setWhole(true)}>
          {`Read all ${value.length.toLocaleString('en')} characters`}
        </Button>
      </>
    );
  }
  if (value.length <= LONG) return <span className={styles.string}>{JSON.stringify(value)}</span>;
  return <LongText text={value}>{(part) => <span className={styles.string}>{part}</span>}</LongText>;
}
