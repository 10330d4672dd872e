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
}

/** Why a step failed, and at which line of the flow. */
export function Failure({ error, line, document }: Props) {
  const { code, message, details } = error;
  const place = lineOfError(details) ?? line;
  return (
    <>
      <ErrorNote
        error={new Error(typeof message === 'string' ? message : 'It failed.')}
        code={typeof code === 'string' ? code : undefined}
      />
      {place !== null && document !== null && <Excerpt document={document} line={place} />}
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
function Excerpt({ document, line }: { document: string; line: number }) {
  const from = Math.max(1, line - AROUND);
  const lines = document.split('\n').slice(from - 1, line + AROUND);
  // What all of them are indented by says nothing here.
  const indent = Math.min(...lines.filter((text) => text.trim()).map((text) => text.search(/\S/)));
  return (
    <section className={styles.part} aria-label="Where it went wrong">
      <h3>Line {line} of the flow</h3>
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
