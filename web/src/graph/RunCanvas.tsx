import '@xyflow/react/dist/style.css';

import { Background, Controls, ReactFlow, type NodeTypes } from '@xyflow/react';
import { useMemo } from 'react';

import { useTheme } from '~/app/theme';
import { drawnEdges } from '~/graph/edges';
import { CARD, places } from '~/graph/layout';
import type { FlowGraph } from '~/graph/model';
import { NodeCard, type CardNode } from '~/graph/NodeCard';

import styles from './Canvas.module.css';

const TYPES: NodeTypes = { card: NodeCard };

export interface NodeState {
  status: string;
  steps: number;
}

interface Props {
  graph: FlowGraph;
  /** How far each node has come; a node that is not in here was not reached. */
  states: ReadonlyMap<string, NodeState>;
  /** Edges that were followed, by id. */
  taken: ReadonlySet<string>;
  selected: string | null;
  onSelect: (node: string | null) => void;
}

/** The flow of a run, with what has become of each node. It can be looked at, not changed. */
export function RunCanvas({ graph, states, taken, selected, onSelect }: Props) {
  const theme = useTheme();
  const where = useMemo(() => places(graph), [graph]);
  const nodes = useMemo(
    () =>
      graph.nodes.map((node): CardNode => {
        const state = states.get(node.id);
        return {
          id: node.id,
          type: 'card',
          measured: CARD,
          position: where.get(node.id) ?? { x: 0, y: 0 },
          selected: node.id === selected,
          ariaLabel: `${node.name}, ${node.type}, ${state?.status ?? 'not reached'}`,
          data: { node, status: state?.status, steps: state?.steps, faint: state === undefined },
        };
      }),
    [graph, states, selected, where],
  );
  const edges = useMemo(() => drawnEdges(graph.edges, taken), [graph, taken]);
  return (
    <div className={`${styles.canvas ?? ''} ${styles.reading ?? ''}`}>
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={TYPES}
        colorMode={theme}
        nodesDraggable={false}
        nodesConnectable={false}
        edgesFocusable={false}
        onNodeClick={(_event, node) => onSelect(node.id)}
        onPaneClick={() => onSelect(null)}
        onNodesChange={(changes) => {
          const chosen = changes.find((one) => one.type === 'select' && one.selected);
          if (chosen?.type === 'select') onSelect(chosen.id);
        }}
        onlyRenderVisibleElements={graph.nodes.length > 150}
        fitView
        fitViewOptions={{ maxZoom: 1, padding: 0.12 }}
        minZoom={0.1}
        proOptions={{ hideAttribution: true }}
      >
        <Background />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}
