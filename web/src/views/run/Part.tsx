import { useMemo, useState } from 'react';

import { Copy } from '~/ui/Copy';
import { Json } from '~/ui/Json';
import { LongText } from '~/ui/LongText';

import styles from './Inspector.module.css';

interface Props {
  title: string;
  value: unknown;
  /** The store no longer has it. */
  lost?: boolean;
}

/** A value of a step or a run: as a tree, or as text in pages. */
export function Part({ title, value, lost = false }: Props) {
  const [raw, setRaw] = useState(false);
  if (lost) {
    return (
      <section className={styles.part} aria-label={title}>
        <h3>{title}</h3>
        <p className="muted">Lost: the store does not have it any more.</p>
      </section>
    );
  }
  return (
    <section className={styles.part} aria-label={title}>
      <header>
        <h3>{title}</h3>
        <button type="button" className={styles.raw} onClick={() => setRaw(!raw)}>
          {raw ? 'as a tree' : 'as text'}
        </button>
        <Copy text={() => JSON.stringify(value, null, 2)} label={`Copy: ${title}`} />
      </header>
      <div className={styles.value}>{raw ? <Raw value={value} /> : <Json value={value} />}</div>
    </section>
  );
}

function Raw({ value }: { value: unknown }) {
  const text = useMemo(() => JSON.stringify(value, null, 2), [value]);
  return <LongText text={text}>{(part) => <pre>{part}</pre>}</LongText>;
}
