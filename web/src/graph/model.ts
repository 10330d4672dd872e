/** A flow as a drawing: nodes and the edges between them, read from its document, however broken that is. */
import { isMapping, parsed } from '~/editor/documents';

export type EdgeKind = 'next' | 'error' | 'need' | 'port';

export interface FlowNode {
  id: string;
  type: string;
  /** What is shown instead of the id, if the author gave a name. */
  name: string;
  /** A join waits for these. */
  needs: readonly string[];
  joinMode: string | null;
  foreach: boolean;
  isStart: boolean;
  /** Where the author put it. */
  at: { x: number; y: number } | null;
}

export interface FlowEdge {
  id: string;
  from: string;
  to: string;
  /** The action that is followed; empty for `default`, for needs, and for ports without a name. */
  label: string;
  kind: EdgeKind;
}

export interface FlowGraph {
  nodes: readonly FlowNode[];
  edges: readonly FlowEdge[];
}

export const EMPTY_GRAPH: FlowGraph = { nodes: [], edges: [] };

const CONNECTION = /^\s*([\w-]+)(?:\.([\w.[\]-]+))?\s*->\s*([\w-]+)\.(\w+)\s*$/;

type Mapping = Record<string, unknown>;

function texts(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

/** The drawing of a document's text; null when it is no YAML at all. */
export function graphOf(document: string): FlowGraph | null {
  const { problem, value } = parsed(document);
  return problem === null ? graphOfValue(value) : null;
}

/** The drawing of a parsed document. */
export function graphOfValue(flow: unknown): FlowGraph {
  if (!isMapping(flow) || !isMapping(flow.nodes)) return EMPTY_GRAPH;
  const documents = Object.entries(flow.nodes);
  const known = new Set(documents.map(([id]) => id));
  const edges = [
    ...documents.flatMap(([id, node]) => (isMapping(node) ? edgesOf(id, node) : [])),
    ...connectionsOf(flow.connections),
  ].filter(({ from, to }) => known.has(from) && known.has(to));
  const starts = startsOf(flow.start, documents, edges);
  const nodes = documents.map(([id, node]) => nodeOf(id, isMapping(node) ? node : {}, starts.has(id)));
  return { nodes, edges: distinct(edges) };
}

function nodeOf(id: string, node: Mapping, isStart: boolean): FlowNode {
  const ui = isMapping(node.ui) ? node.ui : {};
  const needs = isMapping(node.needs) ? node.needs.nodes : node.needs;
  const mode = isMapping(node.needs) && typeof node.needs.mode === 'string' ? node.needs.mode : 'all';
  return {
    id,
    type: typeof node.type === 'string' ? node.type : '',
    name: typeof node.name === 'string' ? node.name : id,
    needs: texts(needs),
    joinMode: texts(needs).length > 0 ? mode : null,
    foreach: node.foreach !== undefined && node.foreach !== null,
    isStart,
    at: typeof ui.x === 'number' && typeof ui.y === 'number' ? { x: ui.x, y: ui.y } : null,
  };
}

function edgesOf(id: string, node: Mapping): FlowEdge[] {
  const byAction = isMapping(node.next) ? Object.entries(node.next) : [['default', node.next] as const];
  const next = byAction.flatMap(([action, targets]) =>
    texts(targets).map((to) =>
      edge(id, to, action === 'default' ? '' : action, action === 'error' ? 'error' : 'next'),
    ),
  );
  const needs = isMapping(node.needs) ? node.needs.nodes : node.needs;
  return [...next, ...texts(needs).map((from) => edge(from, id, '', 'need'))];
}

function connectionsOf(connections: unknown): FlowEdge[] {
  if (!Array.isArray(connections)) return [];
  return connections.flatMap((one: unknown) => {
    if (typeof one === 'string') {
      const [, from, port, to, input] = CONNECTION.exec(one) ?? [];
      return from && to ? [edge(from, to, port ? `${port} → ${input ?? ''}` : (input ?? ''), 'port')] : [];
    }
    if (!isMapping(one) || typeof one.from_node !== 'string' || typeof one.to_node !== 'string') return [];
    const port = typeof one.from_port === 'string' ? `${one.from_port} → ` : '';
    const input = typeof one.to_port === 'string' ? one.to_port : '';
    return [edge(one.from_node, one.to_node, port + input, 'port')];
  });
}

function edge(from: string, to: string, label: string, kind: EdgeKind): FlowEdge {
  return { id: `${kind}:${from}:${label}:${to}`, from, to, label, kind };
}

function startsOf(
  start: unknown,
  documents: readonly [string, unknown][],
  edges: readonly FlowEdge[],
): Set<string> {
  const said = texts(start);
  if (said.length > 0) return new Set(said);
  const targets = new Set(edges.map(({ to }) => to));
  const free = documents.map(([id]) => id).filter((id) => !targets.has(id));
  const first = documents[0]?.[0];
  return new Set(free.length > 0 || first === undefined ? free : [first]);
}

function distinct(edges: readonly FlowEdge[]): FlowEdge[] {
  return [...new Map(edges.map((one) => [one.id, one])).values()];
}
