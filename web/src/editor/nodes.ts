/** What can be done to a flow's document on the canvas, each a change of its text. */
import { parse } from 'yaml';

import { getIn, removeIn, renameKey, setIn } from '~/editor/edits';
import { removeItem } from '~/editor/lists';
import { graphOf, type FlowEdge } from '~/graph/model';

/** What a node may be called. */
export const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;

type Next = Record<string, string | string[]>;

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

/** `value` as short as it may be written: a single name stands alone. */
function short(names: readonly string[]): string | string[] | undefined {
  return names.length === 0 ? undefined : names.length === 1 ? names[0] : [...names];
}

/** A name for a node of a type that no other node has. */
export function freeName(text: string, type: string): string {
  const taken = new Set(graphOf(text)?.nodes.map(({ id }) => id));
  const base = (type.split('.').at(-1) ?? 'node').replace(/[^A-Za-z0-9_-]/g, '_') || 'node';
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? base : `${base}_${number}`;
    if (!taken.has(name)) return name;
  }
}

/** Adds a node with the parameters of its type's example. */
export function addNode(
  text: string,
  id: string,
  type: string,
  example: string,
  at?: { x: number; y: number },
): string {
  const params = exampleParams(example);
  const node = {
    type,
    ...(params && { params }),
    ...(at && { ui: { x: Math.round(at.x), y: Math.round(at.y) } }),
  };
  return setIn(text, ['nodes', id], node);
}

/** The parameters of the first node of an example flow, or of an example node. */
function exampleParams(example: string): Record<string, unknown> | null {
  try {
    const found: unknown = parse(example);
    if (!isMapping(found)) return null;
    const node = isMapping(found.nodes)
      ? Object.values(found.nodes)[0]
      : 'type' in found
        ? found
        : Object.values(found)[0];
    return isMapping(node) && isMapping(node.params) ? node.params : null;
  } catch {
    return null;
  }
}

/** Takes a node out, with every edge that leads to it. */
export function removeNode(text: string, id: string): string {
  let after = text;
  for (const edge of graphOf(text)?.edges ?? []) {
    if (edge.to === id || edge.from === id) after = disconnect(after, edge);
  }
  const start = list(getIn(after, ['start']));
  if (start.includes(id)) after = setIn(after, ['start'], short(start.filter((one) => one !== id)));
  return removeIn(after, ['nodes', id]);
}

/**
 * Lets a node be followed by another, along an action.
 *
 * One that waits for others cannot be what follows: it waits for this one, too. A failure is waited for as well, if
 * it is handled; so an edge along another action than `default` stays refused there (the server says why).
 */
export function connect(text: string, from: string, to: string, action = 'default'): string {
  if (from !== to && action === 'default' && joins(text, to)) return wait(text, from, to);
  const next = nextOf(text, from);
  const targets = next[action] ?? [];
  if (targets.includes(to)) return text;
  return writeNext(text, from, { ...next, [action]: [...targets, to] });
}

function joins(text: string, id: string): boolean {
  const needs = getIn(text, ['nodes', id, 'needs']);
  return list(isMapping(needs) ? needs.nodes : needs).length > 0;
}

/** Lets a node wait for another. */
export function wait(text: string, from: string, to: string): string {
  const needs = getIn(text, ['nodes', to, 'needs']);
  const path = isMapping(needs) ? ['nodes', to, 'needs', 'nodes'] : ['nodes', to, 'needs'];
  const needed = list(getIn(text, path));
  return needed.includes(from) ? text : setIn(text, path, [...needed, from]);
}

/** Takes an edge out: of `next`, of `needs`, or of the connections. */
export function disconnect(text: string, edge: FlowEdge): string {
  const { from, to, kind, label } = edge;
  if (kind === 'need') {
    const path = isMapping(getIn(text, ['nodes', to, 'needs']))
      ? ['nodes', to, 'needs', 'nodes']
      : ['nodes', to, 'needs'];
    const left = list(getIn(text, path)).filter((one) => one !== from);
    return left.length > 0 ? setIn(text, path, left) : removeIn(text, ['nodes', to, 'needs']);
  }
  if (kind === 'port') {
    const all = getIn(text, ['connections']);
    const index = Array.isArray(all) ? all.findIndex((one: unknown) => sameConnection(one, from, to)) : -1;
    if (index < 0) return text;
    return disconnect(removeItem(text, ['connections'], index), edge);
  }
  const next = nextOf(text, from);
  const action = kind === 'error' ? 'error' : label || 'default';
  return writeNext(text, from, { ...next, [action]: (next[action] ?? []).filter((one) => one !== to) });
}

function sameConnection(one: unknown, from: string, to: string): boolean {
  if (isMapping(one)) return one.from_node === from && one.to_node === to;
  return typeof one === 'string' && new RegExp(`^\\s*${from}\\b.*->\\s*${to}\\.`).test(one);
}

/** Lets an edge be followed along another action. */
export function relabel(text: string, edge: FlowEdge, action: string): string {
  return connect(disconnect(text, edge), edge.from, edge.to, action || 'default');
}

function nextOf(text: string, id: string): Record<string, string[]> {
  const next = getIn(text, ['nodes', id, 'next']);
  if (!isMapping(next)) return next === undefined || next === null ? {} : { default: list(next) };
  return Object.fromEntries(Object.entries(next).map(([action, targets]) => [action, list(targets)]));
}

function writeNext(text: string, id: string, next: Record<string, string[]>): string {
  const written: Next = {};
  for (const [action, targets] of Object.entries(next)) {
    const one = short(targets);
    if (one !== undefined) written[action] = one;
  }
  const actions = Object.keys(written);
  const path = ['nodes', id, 'next'];
  if (actions.length === 0) return removeIn(text, path);
  return setIn(text, path, actions.length === 1 && written.default !== undefined ? written.default : written);
}

/** Gives a node another name, wherever it is named: in edges, joins, connections and expressions. */
export function renameNode(text: string, id: string, name: string): string {
  if (!NAME.test(name))
    throw new Error('A name is a letter or _, then letters, digits, _ and -, at most 64.');
  const graph = graphOf(text);
  if (graph?.nodes.some((node) => node.id === name)) throw new Error(`There is a node ${name} already.`);
  let after = text;
  for (const node of graph?.nodes ?? []) after = renameIn(after, node.id, id, name);
  const start = list(getIn(after, ['start']));
  if (start.includes(id))
    after = setIn(after, ['start'], short(start.map((one) => (one === id ? name : one))));
  after = renameKey(after, ['nodes', id], name);
  const mentions = new RegExp(`\\bnodes\\.${id}(?![\\w-])`, 'g');
  const quoted = new RegExp(`\\bnodes\\[(["'])${id}\\1\\]`, 'g');
  const reference = /^[A-Za-z_]\w*$/.test(name) ? `nodes.${name}` : `nodes["${name}"]`;
  return renameInConnections(after, id, name).replace(mentions, reference).replace(quoted, reference);
}

function renameInConnections(text: string, id: string, name: string): string {
  const [section] = /^connections:.*(?:\n(?:[ \t-].*)?)*/m.exec(text) ?? [];
  if (section === undefined) return text;
  const from = new RegExp(`(^\\s*-\\s*["']?|[[,]\\s*["']?)${id}(?=(?:\\.[^\\s,]*)?\\s*->)`, 'gm');
  const to = new RegExp(`(->\\s*)${id}(?=\\.)`, 'g');
  const fields = new RegExp(`(\\b(?:from|to)_node:\\s*["']?)${id}(?![\\w-])`, 'g');
  const renamed = [from, to, fields].reduce(
    (after, place) => after.replace(place, (_all, before: string) => before + name),
    section,
  );
  return text.replace(section, () => renamed);
}

function renameIn(text: string, node: string, id: string, name: string): string {
  let after = text;
  const next = nextOf(text, node);
  if (Object.values(next).some((targets) => targets.includes(id))) {
    const renamed = Object.entries(next).map(([action, targets]) => [
      action,
      targets.map((one) => (one === id ? name : one)),
    ]);
    after = writeNext(after, node, Object.fromEntries(renamed) as Record<string, string[]>);
  }
  const needs = getIn(after, ['nodes', node, 'needs']);
  const path = isMapping(needs) ? ['nodes', node, 'needs', 'nodes'] : ['nodes', node, 'needs'];
  const needed = getIn(after, path);
  if (list(needed).includes(id)) {
    const renamed = list(needed).map((one) => (one === id ? name : one));
    after = setIn(after, path, typeof needed === 'string' ? renamed[0] : renamed);
  }
  return after;
}

/** Keeps where nodes stand. */
export function placeNodes(text: string, places: ReadonlyMap<string, { x: number; y: number }>): string {
  let after = text;
  for (const [id, { x, y }] of places) {
    after = setIn(after, ['nodes', id, 'ui', 'x'], Math.round(x));
    after = setIn(after, ['nodes', id, 'ui', 'y'], Math.round(y));
  }
  return after;
}

/** Forgets where nodes stand, so that they are laid out. */
export function unplaceNodes(text: string): string {
  let after = text;
  for (const node of graphOf(text)?.nodes ?? []) {
    if (node.at !== null) after = removeIn(after, ['nodes', node.id, 'ui']);
  }
  return after;
}
