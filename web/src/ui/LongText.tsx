import { useState, type ReactNode } from 'react';

import { Button } from '~/ui/Button';

import styles from './Json.module.css';

const PAGE = 20_000;

interface Props {
  text: string;
  /** How a page of it is drawn. */
  children: (part: string) => ReactNode;
}

/** A text of any length, a page at a time: the browser never draws all of a large one. */
export function LongText({ text, children }: Props) {
  const [page, setPage] = useState(0);
  const pages = Math.max(1, Math.ceil(text.length / PAGE));
  // A text that has become shorter since has fewer pages.
  const shown = Math.min(page, pages - 1);
  if (pages === 1) return children(text);
  const from = shown * PAGE;
  const to = Math.min(from + PAGE, text.length);
  return (
    <>
      {children(text.slice(from, to))}
      <span className={styles.pages} role="group" aria-label="Pages of the text">
        <Button small disabled={shown === 0} onClick={() => setPage(shown - 1)}>
          Back
        </Button>
        <Button small disabled={shown === pages - 1} onClick={() => setPage(shown + 1)}>
          Next
        </Button>
        <span className="muted">
          {(from + 1).toLocaleString('en')} to {to.toLocaleString('en')} of {text.length.toLocaleString('en')}{' '}
          characters
        </span>
      </span>
    </>
  );
}
