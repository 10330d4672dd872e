import { Link } from '@tanstack/react-router';

import type { FlowSummary } from '~/api/flows';

import styles from './FlowsPage.module.css';

/** A flow's name, which leads to it, and what it is for. */
export function FlowName({ flow }: { flow: FlowSummary }) {
  return (
    <span className={styles.name}>
      <Link to="/flows/$flowId" params={{ flowId: flow.id }}>
        {flow.name}
      </Link>
      {flow.description && <span className={`${styles.about ?? ''} muted`}>{flow.description}</span>}
    </span>
  );
}
