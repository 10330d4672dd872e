/** Where a node stands in a flow: what its expressions see is decided by that. */
import { createContext } from 'react';

import { getIn } from '~/editor/edits';
import type { Known } from '~/editor/completion';
import type { FlowGraph } from '~/graph/model';

/** What a server has to know of a place to try an expression there. */
export interface Place {
  node: string;
  after: string[];
  join: boolean;
  each?: unknown;
  alias?: string;
}

export interface Writing {
  /** The document around. */
  text: string;
  known: Known;
  /** The run whose values are shown; null for none. */
  run: { id: string; live: boolean } | null;
  place: Place | null;
}

export const WritingContext = createContext<Writing>({
  text: '',
  known: { types: [], secrets: [], inputs: [] },
  run: null,
  place: null,
});

const NAME = /^[A-Za-z_]\w{0,63}$/;

/** The place of a node. */
export function placeOf(text: string, graph: FlowGraph, node: string): Place {
  const join = (graph.nodes.find(({ id }) => id === node)?.needs.length ?? 0) > 0;
  const after = graph.edges.filter(({ to, kind }) => to === node && kind !== 'port').map(({ from }) => from);
  const each = getIn(text, ['nodes', node, 'foreach', 'items']);
  const alias = getIn(text, ['nodes', node, 'foreach', 'as']);
  return {
    node,
    after: [...new Set(after)].slice(0, 100),
    join,
    ...(each !== undefined && each !== null && { each }),
    ...(typeof alias === 'string' && NAME.test(alias) && { alias }),
  };
}
