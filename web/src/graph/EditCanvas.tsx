import '@xyflow/react/dist/style.css';

import {
  Background,
  Controls,
  MiniMap,
  ReactFlow,
  applyNodeChanges,
  type Connection,
  type EdgeMouseHandler,
  type NodeChange,
  type NodeTypes,
} from '@xyflow/react';
import { useMemo, useState } from 'react';

import { useTheme } from '~/app/theme';
import { drawnEdges, type DrawnEdge } from '~/graph/edges';
import { places, type Place } from '~/graph/layout';
import type { FlowEdge, FlowGraph } from '~/graph/model';
import { NodeCard, type CardNode } from '~/graph/NodeCard';

import styles from './Canvas.module.css';

const TYPES: NodeTypes = { card: NodeCard };
const MANY = 40;

export interface CanvasEdits {
  onConnect: (from: string, to: string) => void;
  onRemoveNodes: (ids: readonly string[]) => void;
  onRemoveEdges: (edges: readonly FlowEdge[]) => void;
  onMove: (places: ReadonlyMap<string, Place>) => void;
  onEdge: (edges: readonly FlowEdge[]) => void;
}

interface Props extends CanvasEdits {
  graph: FlowGraph;
  /** Nodes in which something is wrong. */
  bad: ReadonlySet<string>;
  selected: string | null;
  readOnly: boolean;
  onSelect: (node: string | null) => void;
}

/** The flow as a drawing that can be changed: each change becomes one of the document. */
export function EditCanvas({ graph, bad, selected, readOnly, onSelect, ...edits }: Props) {
  const theme = useTheme();
  const where = useMemo(() => places(graph), [graph]);
  const drawn = useMemo(
    () =>
      graph.nodes.map((node): CardNode => ({
        id: node.id,
        type: 'card',
        position: where.get(node.id) ?? { x: 0, y: 0 },
        selected: node.id === selected,
        ariaLabel: `${node.name}, ${node.type}${bad.has(node.id) ? ', has a problem' : ''}`,
        data: { node, problem: bad.has(node.id), connectable: !readOnly },
      })),
    [graph, where, bad, selected, readOnly],
  );
  // What is being dragged is ahead of the document; as soon as that changes, it is what it says.
  const [ahead, setAhead] = useState<{ of: readonly CardNode[]; nodes: CardNode[] } | null>(null);
  const nodes = ahead?.of === drawn ? ahead.nodes : drawn;
  const edges = useMemo(() => drawnEdges(graph.edges), [graph]);

  const change = (changes: NodeChange<CardNode>[]) => {
    const kept = changes.filter((one) => one.type !== 'remove');
    if (kept.length > 0) setAhead({ of: drawn, nodes: applyNodeChanges(kept, [...nodes]) });
    const chosen = changes.find((one) => one.type === 'select' && one.selected);
    if (chosen?.type === 'select') onSelect(chosen.id);
  };
  const dropped = (moved: readonly CardNode[]) => {
    // A node that was put somewhere puts the others where they stand: else the layout would move them.
    const all = new Map(nodes.map((node) => [node.id, node.position]));
    for (const node of moved) all.set(node.id, node.position);
    edits.onMove(all);
  };
  const connect = ({ source, target }: Connection) => edits.onConnect(source, target);
  const chooseEdge: EdgeMouseHandler<DrawnEdge> = (_event, edge) => edits.onEdge(edge.data?.edges ?? []);
  return (
    <div className={styles.canvas}>
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={TYPES}
        colorMode={theme}
        nodesDraggable={!readOnly}
        nodesConnectable={!readOnly}
        deleteKeyCode={readOnly ? null : ['Delete', 'Backspace']}
        onNodesChange={change}
        onNodeClick={(_event, node) => onSelect(node.id)}
        onPaneClick={() => onSelect(null)}
        onNodeDragStop={(_event, _node, moved) => dropped(moved)}
        onNodesDelete={(gone) => edits.onRemoveNodes(gone.map(({ id }) => id))}
        onEdgesDelete={(gone) => edits.onRemoveEdges(gone.flatMap((edge) => edge.data?.edges ?? []))}
        onEdgeClick={chooseEdge}
        onConnect={connect}
        onlyRenderVisibleElements={graph.nodes.length > 150}
        fitView
        fitViewOptions={{ maxZoom: 1, padding: 0.12 }}
        minZoom={0.1}
        proOptions={{ hideAttribution: true }}
      >
        <Background />
        <Controls showInteractive={false} />
        {graph.nodes.length > MANY && <MiniMap pannable zoomable ariaLabel="Overview" />}
      </ReactFlow>
    </div>
  );
}
