import { Link } from '@tanstack/react-router';
import { CornerDownRight } from 'lucide-react';

import type { Schemas } from '~/api/client';

import styles from './Inspector.module.css';

/** The way from a step to the run that it has started. */
export function Child({ step, type }: { step: Schemas['StepAnswer']; type: string | null }) {
  const run = step.wait?.run ?? (type === 'flow.run' ? runIn(step.output) : null);
  if (run === null) return null;
  return (
    <Link to="/runs/$runId" params={{ runId: run }} className={styles.child}>
      <CornerDownRight aria-hidden />
      {step.status === 'waiting' ? 'It waits for the run that it has started' : 'The run that it has started'}
    </Link>
  );
}

/** A run that nobody waits for is named by the output. */
function runIn(output: unknown): string | null {
  const run =
    typeof output === 'object' && output !== null ? (output as Record<string, unknown>).run_id : null;
  return typeof run === 'string' ? run : null;
}
