/** What can be done to a flow's document on the canvas, each a change of its text. */
import { parse } from 'yaml';

import { isMapping } from '~/editor/documents';
import { changeAll, getIn, removeIn, setIn, type Change, type Path } from '~/editor/edits';
import { addItem, isBlock, removeItem } from '~/editor/lists';
import { renamed } from '~/editor/names';
import { graphOf, type FlowEdge, type FlowGraph } from '~/graph/model';

/** What a node may be called. */
export const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;

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

/** Takes nodes out, with every edge that leads to one of them. */
export function removeNodes(text: string, ids: readonly string[]): string {
  const gone = new Set(ids);
  const edges = (graphOf(text)?.edges ?? []).filter(({ from, to }) => gone.has(from) !== gone.has(to));
  let after = edges
    .filter(({ kind, to, from }) => !gone.has(ownerOf(kind, from, to)))
    .reduce(disconnect, text);
  const among = connectionsOf(after).flatMap((one, index) => (touches(one, gone) ? [index] : []));
  for (const index of among.reverse()) after = removeItem(after, ['connections'], index);
  const start = list(getIn(after, ['start']));
  const left = start.filter((one) => !gone.has(one));
  const changes: Change[] = ids.map((id) => [['nodes', id], undefined]);
  if (left.length < start.length) changes.push([['start'], short(left)]);
  const all = Object.keys((getIn(after, ['nodes']) as object | undefined) ?? {}).every((id) => gone.has(id));
  return all ? changeAll(after, [[['nodes'], {}], ...changes.slice(ids.length)]) : changeAll(after, changes);
}

/** The node in whose part of the document an edge is written. */
function ownerOf(kind: FlowEdge['kind'], from: string, to: string): string {
  return kind === 'need' ? to : from;
}

/**
 * Lets a node be followed by another, along an action.
 *
 * One that waits for others cannot be what follows: it waits for this one, too. A failure is waited for as well, if
 * it is handled; so an edge along another action than `default` stays refused there (the server says why).
 */
export function connect(text: string, from: string, to: string, action = 'default'): string {
  if (from !== to && action === 'default' && joins(text, to)) return wait(text, from, to);
  const next = getIn(text, ['nodes', from, 'next']);
  const empty = isMapping(next) ? Object.keys(next).length === 0 : list(next).length === 0;
  if (empty) return setIn(text, ['nodes', from, 'next'], action === 'default' ? to : { [action]: to });
  if (!isMapping(next) && action !== 'default')
    return setIn(text, ['nodes', from, 'next'], { default: short(list(next)), [action]: to });
  return addName(text, isMapping(next) ? ['nodes', from, 'next', action] : ['nodes', from, 'next'], to);
}

/** The action of a new line: `default`, or the first free one where the type never gives that, as a condition. */
export function nextAction(graph: FlowGraph, from: string, to: string, actions: readonly string[]): string {
  const waits = graph.nodes.some(({ id, joinMode }) => id === to && joinMode !== null);
  if (waits || actions.length === 0 || actions.includes('default')) return 'default';
  const taken = new Set(graph.edges.filter((edge) => edge.from === from).map(({ label }) => label));
  return actions.find((one) => !taken.has(one)) ?? actions[0] ?? 'default';
}

/** One more name at a place where one may stand, or a list of them. */
function addName(text: string, path: Path, name: string): string {
  const there = getIn(text, path);
  const names = list(there);
  if (names.includes(name)) return text;
  if (Array.isArray(there) && names.length > 0) return addItem(text, path, name);
  return setIn(text, path, short([...names, name]));
}

/** One name less there; undefined where it was the last. */
function dropName(text: string, path: Path, name: string): string | undefined {
  const there = getIn(text, path);
  const left = list(there).filter((one) => one !== name);
  if (left.length === 0) return undefined;
  if (!Array.isArray(there) || !there.includes(name)) return text;
  return isBlock(text, path) ? removeItem(text, path, there.indexOf(name)) : setIn(text, path, short(left));
}

function joins(text: string, id: string): boolean {
  const needs = getIn(text, ['nodes', id, 'needs']);
  return list(isMapping(needs) ? needs.nodes : needs).length > 0;
}

/** Lets a node wait for another. */
export function wait(text: string, from: string, to: string): string {
  const path = needsOf(text, to);
  const there = getIn(text, path);
  if (Array.isArray(there) && there.length > 0) return addName(text, path, from);
  const needed = list(there);
  return needed.includes(from) ? text : setIn(text, path, [...needed, from]);
}

function needsOf(text: string, id: string): Path {
  const path = ['nodes', id, 'needs'];
  return isMapping(getIn(text, path)) ? [...path, 'nodes'] : path;
}

/** Takes an edge out: of `next`, of `needs`, or of the connections. */
export function disconnect(text: string, edge: FlowEdge): string {
  const { from, to, kind, label } = edge;
  if (kind === 'need') {
    const path = needsOf(text, to);
    const there = getIn(text, path);
    const left = list(there).filter((one) => one !== from);
    if (left.length === 0) return removeIn(text, ['nodes', to, 'needs']);
    if (!Array.isArray(there) || !there.includes(from)) return text;
    return removeItem(text, path, there.indexOf(from));
  }
  if (kind === 'port') {
    const index = connectionsOf(text).findIndex((one) => sameConnection(one, from, to));
    return index < 0 ? text : disconnect(removeItem(text, ['connections'], index), edge);
  }
  return unfollow(text, from, to, kind === 'error' ? 'error' : label || 'default');
}

function unfollow(text: string, from: string, to: string, action: string): string {
  const path = ['nodes', from, 'next'];
  const next = getIn(text, path);
  const at = isMapping(next) ? [...path, action] : path;
  if (!list(getIn(text, at)).includes(to)) return text;
  const after = dropName(text, at, to) ?? removeIn(text, at);
  const left = getIn(after, path);
  if (!isMapping(left)) return after;
  const actions = Object.keys(left);
  if (actions.length === 0) return removeIn(after, path);
  // As short as it may be written, where that costs no other line.
  const plain = actions.length === 1 && left.default !== undefined && !isBlock(after, path);
  return plain ? setIn(after, path, left.default) : after;
}

/** Ports and where they lead, as they are written. */
function connectionsOf(text: string): readonly unknown[] {
  const all = getIn(text, ['connections']);
  return Array.isArray(all) ? (all as unknown[]) : [];
}

function sameConnection(one: unknown, from: string, to: string): boolean {
  const ends = endsOf(one);
  return ends.length === 2 && ends[0] === from && ends[1] === to;
}

function touches(one: unknown, nodes: ReadonlySet<string>): boolean {
  return endsOf(one).some((end) => nodes.has(end));
}

/** The nodes that a connection is between; none for what is no connection. */
export function endsOf(one: unknown): string[] {
  if (isMapping(one))
    return [one.from_node, one.to_node].filter((end): end is string => typeof end === 'string');
  const found = typeof one === 'string' ? /^\s*([\w-]+)(?:\.\S*)?\s*->\s*([\w-]+)\./.exec(one) : null;
  const [, from, to] = found ?? [];
  return from !== undefined && to !== undefined ? [from, to] : [];
}

/** Lets an edge be followed along another action. */
export function relabel(text: string, edge: FlowEdge, action: string): string {
  return connect(disconnect(text, edge), edge.from, edge.to, action || 'default');
}

/** Gives a node another name, wherever it is named: in edges, joins, connections, expressions and scripts. */
export function renameNode(text: string, id: string, name: string): string {
  if (!NAME.test(name))
    throw new Error('A name is a letter or _, then letters, digits, _ and -, at most 64.');
  if (graphOf(text)?.nodes.some((node) => node.id === name))
    throw new Error(`There is a node ${name} already.`);
  return renamed(text, new Map([[id, name]]));
}

/** Keeps where nodes stand. */
export function placeNodes(text: string, places: ReadonlyMap<string, { x: number; y: number }>): string {
  const changes = [...places].flatMap(([id, place]): Change[] => {
    const [x, y] = [Math.round(place.x), Math.round(place.y)];
    const ui = getIn(text, ['nodes', id, 'ui']);
    if (!isMapping(ui) || ui.x === undefined || ui.y === undefined)
      return [[['nodes', id, 'ui'], { ...(isMapping(ui) ? ui : {}), x, y }]];
    const both: Change[] = [
      [['nodes', id, 'ui', 'x'], x],
      [['nodes', id, 'ui', 'y'], y],
    ];
    return both.filter(([path, value]) => ui[path.at(-1) ?? ''] !== value);
  });
  return changeAll(text, changes);
}

/** Forgets where nodes stand, so that they are laid out. */
export function unplaceNodes(text: string): string {
  const nodes = graphOf(text)?.nodes ?? [];
  return changeAll(
    text,
    nodes.filter(({ at }) => at !== null).map(({ id }): Change => [['nodes', id, 'ui'], undefined]),
  );
}
