import { CircleAlert, TriangleAlert } from 'lucide-react';

import type { Problem } from '~/editor/problems';

import styles from './Editor.module.css';

interface Props {
  problems: readonly Problem[];
  checking: boolean;
  onGo: (problem: Problem) => void;
}

/** What is wrong, and where; a click leads there. */
export function Problems({ problems, checking, onGo }: Props) {
  return (
    <section className={styles.problems} aria-label="Problems" aria-live="polite">
      {problems.length === 0 ? (
        <p className="muted">{checking ? 'Checking…' : 'No problems.'}</p>
      ) : (
        <ul>
          {problems.map((problem, index) => (
            <li key={index}>
              <button
                type="button"
                className={`${styles.problem ?? ''} ${styles[problem.severity] ?? ''}`}
                onClick={() => onGo(problem)}
              >
                {problem.severity === 'error' ? (
                  <CircleAlert aria-label="Error" />
                ) : (
                  <TriangleAlert aria-label="Warning" />
                )}
                {problem.line !== null && <span className="muted nowrap">line {problem.line}</span>}
                <span>
                  {problem.field && <code>{problem.field}</code>} {problem.message}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
