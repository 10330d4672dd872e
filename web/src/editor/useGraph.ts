import { useState } from 'react';

import { EMPTY_GRAPH, graphOf, type FlowGraph } from '~/graph/model';

interface Drawn {
  text: string;
  graph: FlowGraph;
  broken: boolean;
}

/** The drawing of the document; while that is broken, of what it last was. */
export function useGraph(text: string): { graph: FlowGraph; broken: boolean } {
  const [last, setLast] = useState<Drawn>({ text: '', graph: EMPTY_GRAPH, broken: false });
  if (last.text === text) return last;
  const graph = graphOf(text);
  const next = { text, graph: graph ?? last.graph, broken: graph === null };
  setLast(next);
  return next;
}
