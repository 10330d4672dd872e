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
  type ReactFlowInstance,
} from '@xyflow/react';
import { useEffect, useMemo, useRef, useState } from 'react';

import { useTheme } from '~/app/theme';
import { drawnEdges, type DrawnEdge } from '~/graph/edges';
import { CARD, places, type Place } from '~/graph/layout';
import type { FlowEdge, FlowGraph } from '~/graph/model';
import { NodeCard, type CardNode } from '~/graph/NodeCard';

import styles from './Canvas.module.css';

const TYPES: NodeTypes = { card: NodeCard };
const MANY = 40;
/** How far from the edge of what is seen a new node is at least. */
const EDGE = 24;

export interface CanvasEdits {
  onConnect: (from: string, to: string) => void;
  onRemove: (nodes: readonly string[], edges: readonly FlowEdge[]) => void;
  onMove: (places: ReadonlyMap<string, Place>) => void;
  onEdge: (edges: readonly FlowEdge[]) => void;
}

interface Props extends CanvasEdits {
  graph: FlowGraph;
  /** Nodes in which something is wrong. */
  bad: ReadonlySet<string>;
  selected: ReadonlySet<string>;
  readOnly: boolean;
  onSelect: (nodes: readonly string[]) => void;
}

/** The flow as a drawing that can be changed: each change becomes one of the document. */
export function EditCanvas({ graph, bad, selected, readOnly, onSelect, ...edits }: Props) {
  const theme = useTheme();
  const frame = useRef<HTMLDivElement>(null);
  const shown = useRef<ReactFlowInstance<CardNode, DrawnEdge>>(null);
  const where = useMemo(() => places(graph), [graph]);
  const before = useRef(where);
  useEffect(() => {
    // What has just been made is looked at next; nothing else moves the drawing by itself.
    const made = [...selected].find((id) => where.has(id) && !before.current.has(id));
    before.current = where;
    const place = made === undefined ? undefined : where.get(made);
    if (place && shown.current && frame.current) bringIn(shown.current, frame.current, place);
  }, [where, selected]);
  const drawn = useMemo(
    () =>
      graph.nodes.map((node): CardNode => ({
        id: node.id,
        type: 'card',
        measured: CARD,
        position: where.get(node.id) ?? { x: 0, y: 0 },
        selected: selected.has(node.id),
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
    const chosen = new Set(selected);
    for (const one of changes) {
      if (one.type === 'select' && one.selected) chosen.add(one.id);
      else if (one.type === 'select') chosen.delete(one.id);
    }
    if (changes.some(({ type }) => type === 'select')) onSelect([...chosen]);
    const moved = changes.flatMap((one) =>
      one.type === 'position' && one.dragging === false && one.position
        ? [[one.id, one.position] as const]
        : [],
    );
    if (moved.length > 0) dropped(new Map(moved));
  };
  /** Nodes were put somewhere, with the mouse or the arrow keys. */
  const dropped = (moved: ReadonlyMap<string, Place>) => {
    // A node that was put somewhere puts the others where they stand: else the layout would move them.
    edits.onMove(new Map([...nodes.map((node) => [node.id, node.position] as const), ...moved]));
  };
  const connect = ({ source, target }: Connection) => edits.onConnect(source, target);
  const chooseEdge: EdgeMouseHandler<DrawnEdge> = (_event, edge) => edits.onEdge(edge.data?.edges ?? []);
  return (
    <div className={styles.canvas} ref={frame}>
      <ReactFlow
        onInit={(flow) => {
          shown.current = flow;
        }}
        nodes={nodes}
        edges={edges}
        nodeTypes={TYPES}
        colorMode={theme}
        nodesDraggable={!readOnly}
        nodesConnectable={!readOnly}
        deleteKeyCode={readOnly ? null : ['Delete', 'Backspace']}
        onNodesChange={change}
        onNodeClick={(event, node) => {
          if (!event.shiftKey && !event.metaKey && !event.ctrlKey) onSelect([node.id]);
        }}
        onPaneClick={() => onSelect([])}
        onDelete={({ nodes: gone, edges: lines }) =>
          edits.onRemove(
            gone.map(({ id }) => id),
            lines.flatMap((edge) => edge.data?.edges ?? []),
          )
        }
        onEdgeClick={chooseEdge}
        onConnect={connect}
        onMoveStart={() => frame.current?.setAttribute('data-moving', 'true')}
        onMoveEnd={() => frame.current?.removeAttribute('data-moving')}
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

/** Move the drawing so far that the node at this place is seen whole. */
function bringIn(flow: ReactFlowInstance<CardNode, DrawnEdge>, frame: HTMLElement, place: Place): void {
  const { x, y, zoom } = flow.getViewport();
  const move = (at: number, length: number, room: number) =>
    Math.max(Math.min(0, room - EDGE - (at + length)), EDGE - at);
  const across = move(x + place.x * zoom, CARD.width * zoom, frame.clientWidth);
  const down = move(y + place.y * zoom, CARD.height * zoom, frame.clientHeight);
  if (across !== 0 || down !== 0) void flow.setViewport({ x: x + across, y: y + down, zoom });
}
