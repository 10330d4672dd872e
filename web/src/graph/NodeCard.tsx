import { Handle, Position, type Node, type NodeProps } from '@xyflow/react';
import { createElement, memo } from 'react';

import type { FlowNode } from '~/graph/model';
import { iconOf, toneOf } from '~/ui/Status';

import styles from './Canvas.module.css';

export interface CardData extends Record<string, unknown> {
  node: FlowNode;
  /** What the node's steps have come to in a run; absent where there is no run. */
  status?: string | undefined;
  /** How many steps of it there were. */
  steps?: number | undefined;
  /** In a run: nothing has come here. */
  faint?: boolean | undefined;
  problem?: boolean | undefined;
  connectable?: boolean | undefined;
}

export type CardNode = Node<CardData, 'card'>;

/** A node on the canvas: its name, its type, and how it went. */
export const NodeCard = memo(function NodeCard({ data, selected }: NodeProps<CardNode>) {
  const { node, status, steps = 0, faint, problem, connectable = false } = data;
  const tone = status ? toneOf(status) : undefined;
  return (
    <div
      className={styles.node}
      data-selected={selected}
      data-tone={tone}
      data-faint={faint}
      data-problem={problem}
      title={node.name === node.id ? node.id : `${node.name} (${node.id})`}
    >
      <Handle type="target" position={Position.Left} className={styles.handle} isConnectable={connectable} />
      <span className={`${styles.name ?? ''} truncate`}>{node.name}</span>
      <span className={styles.type}>
        <span className="truncate">{node.type || 'no type'}</span>
        {node.foreach && <span className={styles.mark}>each</span>}
        {node.joinMode !== null && <span className={styles.mark}>join {node.joinMode}</span>}
      </span>
      {status && (
        <span className={styles.badge} data-tone={tone}>
          {createElement(iconOf(status), { role: 'img', 'aria-label': status })}
          {steps > 1 && <span className={styles.count}>{steps}×</span>}
        </span>
      )}
      <Handle type="source" position={Position.Right} className={styles.handle} isConnectable={connectable} />
    </div>
  );
});
