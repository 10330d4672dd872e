/** Where things stand in a flow's document. */
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';

/** The line at which each node stands. */
export function linesOf(document: string): ReadonlyMap<string, number> {
  const counter = new LineCounter();
  const nodes = parseDocument(document, { lineCounter: counter }).get('nodes', true);
  const lines = new Map<string, number>();
  if (!isMap(nodes)) return lines;
  for (const { key } of nodes.items) {
    if (isScalar(key) && key.range) lines.set(String(key.value), counter.linePos(key.range[0]).line);
  }
  return lines;
}
