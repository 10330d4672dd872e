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

/** The upper left corner of each node. `auto` leaves aside where the author put them. */
export function places(graph: FlowGraph, auto = false): ReadonlyMap<string, Place> {
  const drawn = new graphlib.Graph({ multigraph: true });
  drawn.setGraph({ rankdir: 'LR', nodesep: 28, ranksep: 78, marginx: 16, marginy: 16 });
  drawn.setDefaultEdgeLabel(() => ({}));
  for (const { id } of graph.nodes) drawn.setNode(id, { width: NODE_WIDTH, height: NODE_HEIGHT });
  for (const { id, from, to, label } of graph.edges)
    drawn.setEdge(from, to, { width: label.length * 6, height: 12 }, id);
  layout(drawn);
  return new Map(
    graph.nodes.map(({ id, at }) => {
      const { x = 0, y = 0 } = drawn.node(id) as Partial<Place>;
      return [id, at !== null && !auto ? at : { x: x - NODE_WIDTH / 2, y: y - NODE_HEIGHT / 2 }];
    }),
  );
}
