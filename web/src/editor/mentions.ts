/** What a document mentions, also while a line that is being written breaks it. */
import { graphOf } from '~/graph/model';

export function nodesOf(text: string): string[] {
  const graph = graphOf(text);
  if (graph) return graph.nodes.map(({ id }) => id);
  // What stands at a node's column will do.
  const [, nodes = ''] = text.split(/^nodes:/m);
  return [...nodes.matchAll(/^ {2}([A-Za-z_][\w-]*):/gm)].map(([, id]) => id ?? '');
}

/** The names of vars that hooks or expressions use. */
export function varsOf(text: string): string[] {
  return [...new Set([...text.matchAll(/\bvars\.([A-Za-z_$][\w$]*)/g)].map(([, name]) => name ?? ''))].sort();
}

/** The node that a line belongs to, counted from 1. */
export function nodeAt(text: string, line: number): string | null {
  const lines = text.split('\n').slice(0, line);
  for (const one of lines.reverse()) {
    const [, id] = /^ {2}([A-Za-z_][\w-]*):/.exec(one) ?? [];
    if (id !== undefined) return id;
    if (/^\S/.test(one)) return null;
  }
  return null;
}
