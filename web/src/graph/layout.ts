/** Where nodes stand: where their author put them, or in layers from left to right. */
import { graphlib, layout } from '@dagrejs/dagre';

import type { FlowGraph } from '~/graph/model';

export const NODE_WIDTH = 190;
export const NODE_HEIGHT = 58;

/** What the drawing need not measure: a node that is drawn anew would be hidden until it has. */
export const CARD = { width: NODE_WIDTH, height: NODE_HEIGHT };

export interface Place {
  x: number;
  y: number;
}

interface Laid {
  key: string;
  places: ReadonlyMap<string, Place>;
}

let last: Laid = { key: '', places: new Map() };

/** The upper left corner of each node. `auto` leaves aside where the author put them. */
export function places(graph: FlowGraph, auto = false): ReadonlyMap<string, Place> {
  if (!auto && graph.nodes.every(({ at }) => at !== null))
    return new Map(graph.nodes.flatMap(({ id, at }) => (at === null ? [] : [[id, at] as const])));
  const laid = inLayers(graph);
  return new Map(
    graph.nodes.map(({ id, at }) => [id, at !== null && !auto ? at : (laid.get(id) ?? { x: 0, y: 0 })]),
  );
}

/** Nodes in layers. What somebody types changes them only where nodes or edges come or go: so the last is kept. */
function inLayers({ nodes, edges }: FlowGraph): ReadonlyMap<string, Place> {
  const key = JSON.stringify([nodes.map(({ id }) => id), edges.map(({ id }) => id)]);
  if (last.key === key) return last.places;
  const drawn = new graphlib.Graph({ multigraph: true });
  drawn.setGraph({ rankdir: 'LR', nodesep: 28, ranksep: 78, marginx: 16, marginy: 16 });
  drawn.setDefaultEdgeLabel(() => ({}));
  for (const { id } of nodes) drawn.setNode(id, { width: NODE_WIDTH, height: NODE_HEIGHT });
  for (const { id, from, to, label } of edges)
    drawn.setEdge(from, to, { width: label.length * 6, height: 12 }, id);
  layout(drawn);
  const laid = nodes.map(({ id }) => {
    const { x = 0, y = 0 } = drawn.node(id) as Partial<Place>;
    return [id, { x: x - NODE_WIDTH / 2, y: y - NODE_HEIGHT / 2 }] as const;
  });
  last = { key, places: new Map(laid) };
  return last.places;
}
