/** Other names for nodes, wherever a document names them: in edges, joins, connections, expressions and scripts. */
import { isScalar, Scalar, visit, type Pair } from 'yaml';

import { parsed } from '~/editor/documents';
import { spliced } from '~/editor/edits';
import type { Splice } from '~/editor/splices';
import { keyText } from '~/editor/written';

type Names = ReadonlyMap<string, string>;

const EDGES = new Set(['next', 'needs', 'start']);
const EXPRESSION = /\$\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}?/g;

/** Gives nodes other names, all at once. */
export function renamed(text: string, names: Names): string {
  const { document, json, problem } = parsed(text);
  if (problem !== null) throw new Error(problem);
  const splices: Splice[] = [];
  visit(document, {
    Scalar(place, scalar, above) {
      if (typeof scalar.value !== 'string' || !scalar.range) return;
      const [from, to] = scalar.range;
      const path = above.flatMap((one) => (isPairNode(one) ? [keyOf(one)] : []));
      const source = text.slice(from, to);
      const name = names.get(scalar.value);
      if (place === 'key') {
        // The pair is the last of those above.
        if (path.length === 2 && path[0] === 'nodes' && name !== undefined)
          splices.push({ from, to, insert: keyText(name, json) });
        return;
      }
      const insert = isEdge(path)
        ? ((name && keyText(name, json)) ?? source)
        : path[0] === 'connections'
          ? inConnection(source, path[1], scalar, names)
          : inCode(source, isScript(path), scalar, names);
      if (insert !== source) splices.push({ from, to, insert });
    },
  });
  return spliced(text, splices);
}

function isPairNode(node: unknown): node is Pair {
  return typeof node === 'object' && node !== null && 'key' in node && 'value' in node;
}

function keyOf({ key }: Pair): string {
  return isScalar(key) ? String(key.value) : '';
}

/** Whether names of nodes stand at a path: `start`, `nodes.a.next.default`, `nodes.a.needs.nodes`. */
function isEdge(path: readonly string[]): boolean {
  if (path[0] === 'start') return true;
  return path[0] === 'nodes' && EDGES.has(path[2] ?? '') && path[3] !== 'mode';
}

function isScript(path: readonly string[]): boolean {
  return path[0] === 'nodes' && (path[2] === 'hooks' || (path[2] === 'params' && path[3] === 'source'));
}

function inConnection(source: string, field: string | undefined, scalar: Scalar, names: Names): string {
  if (field === 'from_node' || field === 'to_node')
    return source.replace(String(scalar.value), (one) => names.get(one) ?? one);
  if (field !== undefined) return source;
  return source
    .replace(
      /^(["']?\s*)([\w-]+)(?=(?:\.[^\s]*)?\s*->)/,
      (_all, before: string, one: string) => before + (names.get(one) ?? one),
    )
    .replace(
      /(->\s*)([\w-]+)(?=\.)/,
      (_all, before: string, one: string) => before + (names.get(one) ?? one),
    );
}

/** In expressions, and in scripts as a whole. Quotes are such as can stand in the text around them. */
function inCode(source: string, script: boolean, scalar: Scalar, names: Names): string {
  const quote = scalar.type === Scalar.QUOTE_DOUBLE ? "'" : '"';
  const put = (all: string, one: string) => {
    const name = names.get(one);
    if (name === undefined) return all;
    return /^[A-Za-z_]\w*$/.test(name) ? `nodes.${name}` : `nodes[${quote}${name}${quote}]`;
  };
  const change = (some: string) =>
    some
      .replace(/\bnodes\.([A-Za-z_][\w-]*)(?!\$)/g, put)
      .replace(/\bnodes\[(\\?["']|'')([\w-]+)\1\]/g, (all, _quote, one: string) => put(all, one));
  return script ? change(source) : source.replace(EXPRESSION, change);
}
