import { Plus, X } from 'lucide-react';
import { useId, useRef, useState } from 'react';

import { connect, disconnect, nextAction } from '~/editor/nodes';
import type { FlowEdge, FlowGraph } from '~/graph/model';
import { Button, IconButton } from '~/ui/Button';

import styles from './Editor.module.css';

interface Props {
  node: string;
  graph: FlowGraph;
  /** Actions that the node's type knows. */
  actions: readonly string[];
  readOnly: boolean;
  onEdit: (change: (text: string) => string) => void;
  onSelect: (node: string) => void;
}

/** What follows a node, and what waits for it: as on the canvas, without a mouse. */
export function EdgeList({ node, graph, actions, readOnly, onEdit, onSelect }: Props) {
  const id = useId();
  // The button that was pressed is gone or switched off: who came by the keyboard goes on here.
  const next = useRef<HTMLSelectElement>(null);
  const [to, setTo] = useState('');
  const [wish, setWish] = useState<string | null>(null);
  const edges = graph.edges.filter(({ from, kind }) => from === node && kind !== 'port');
  const others = graph.nodes.filter((one) => one.id !== to || one.id !== node);
  const proposed = nextAction(graph, node, to, actions);
  const usual = actions.length === 0 || proposed === 'default' ? ['default'] : [];
  const known = [...new Set([...usual, ...actions, 'error'])];
  const action = wish !== null && known.includes(wish) ? wish : proposed;
  return (
    <section className={styles.edges} aria-labelledby={`${id}-title`}>
      <h3 id={`${id}-title`} className={styles.edgesTitle}>
        What follows
      </h3>
      <ul>
        {edges.map((edge) => (
          <li key={edge.id}>
            <span className="muted">{wordOf(edge)}</span>
            <button type="button" className={styles.link} onClick={() => onSelect(edge.to)}>
              {edge.to}
            </button>
            {!readOnly && (
              <IconButton
                small
                label={`Remove the line to ${edge.to}`}
                onClick={() => {
                  onEdit((text) => disconnect(text, edge));
                  next.current?.focus();
                }}
              >
                <X aria-hidden />
              </IconButton>
            )}
          </li>
        ))}
      </ul>
      {!readOnly && (
        <div className={styles.newEdge}>
          <select aria-label="Action" value={action} onChange={(event) => setWish(event.target.value)}>
            {known.map((one) => (
              <option key={one} value={one}>
                {one === 'error' ? 'after a failure' : one === 'default' ? 'afterwards' : `on ${one}`}
              </option>
            ))}
          </select>
          <select
            ref={next}
            aria-label="Next node"
            value={to}
            onChange={(event) => setTo(event.target.value)}
          >
            <option value="">a node…</option>
            {others.map((one) => (
              <option key={one.id} value={one.id}>
                {one.id}
              </option>
            ))}
          </select>
          <Button
            small
            disabled={to === ''}
            onClick={() => {
              onEdit((text) => connect(text, node, to, action));
              setWish(null);
              setTo('');
              next.current?.focus();
            }}
          >
            <Plus aria-hidden />
            Connect
          </Button>
        </div>
      )}
    </section>
  );
}

function wordOf({ kind, label }: FlowEdge): string {
  if (kind === 'need') return 'waited for by';
  if (kind === 'error') return 'after a failure';
  return label ? `on ${label}` : 'afterwards';
}
