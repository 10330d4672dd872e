import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';

import { useMay } from '~/api/session';
import { ErrorNote } from '~/ui/Notes';
import { Part } from '~/views/run/Part';

import styles from './Inspector.module.css';

/** Lines that are shown on both sides of a wrong one. */
const AROUND = 2;

interface Props {
  error: Record<string, unknown>;
  /** Where the step's node stands in the flow. */
  line: number | null;
  /** The flow as the run has it. */
  document: string | null;
  /** Its node in the flow that has a page; null where it has none. */
  at: { flow: string; node: string } | null;
}

/** Why a step failed, and at which line of the flow. */
export function Failure({ error, line, document, at }: Props) {
  const { code, message, details } = error;
  const place = lineOfError(details) ?? line;
  const mayRead = useMay('flows:read');
  return (
    <>
      <ErrorNote
        error={new Error(typeof message === 'string' ? message : 'It failed.')}
        code={typeof code === 'string' ? code : undefined}
      />
      {place !== null && document !== null && (
        <Excerpt document={document} line={place}>
          {at !== null && mayRead && line !== null && (
            // By the node, not by the number of the line: the flow may have changed since.
            <Link
              className={styles.raw}
              to="/flows/$flowId"
              params={{ flowId: at.flow }}
              search={{ node: at.node, below: Math.max(0, place - line) }}
            >
              Open in the editor
            </Link>
          )}
        </Excerpt>
      )}
      {details !== undefined && details !== null && <Part title="Details of the error" value={details} />}
    </>
  );
}

/** The line of the flow at which a script or an expression failed, if the error knows it. */
function lineOfError(details: unknown): number | null {
  if (typeof details !== 'object' || details === null) return null;
  const line = (details as Record<string, unknown>).document_line;
  return typeof line === 'number' ? line : null;
}

/** The lines of the flow around the one where it went wrong. */
function Excerpt({ document, line, children }: { document: string; line: number; children: ReactNode }) {
  const from = Math.max(1, line - AROUND);
  const lines = document.split('\n').slice(from - 1, line + AROUND);
  // What all of them are indented by says nothing here.
  const indent = Math.min(...lines.filter((text) => text.trim()).map((text) => text.search(/\S/)));
  return (
    <section className={styles.part} aria-label="Where it went wrong">
      <header>
        <h3>Line {line} of the flow</h3>
        {children}
      </header>
      <pre className={styles.excerpt}>
        {lines.map((text, index) => (
          <span key={index} data-wrong={from + index === line}>
            <span className={styles.number}>{from + index}</span>
            <span>{text.slice(indent) || ' '}</span>
          </span>
        ))}
      </pre>
    </section>
  );
}
