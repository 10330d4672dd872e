/**
 * Where a change of a flow's document belongs in its text, so that all other lines stay as they are.
 *
 * In a block mapping it is one pair, in a flow mapping (`{a: 1}`) what stands between two commas. A flow mapping of
 * one line that becomes too long for it is written in block style.
 */
import { isCollection, isMap, isNode, isPair, isScalar, type Pair, type YAMLMap } from 'yaml';

import { isMapping, type Parsed, type Value } from '~/editor/documents';
import { fits, inFlow, inJson, keyText, written } from '~/editor/written';

export type Path = readonly string[];

/** What stands between two places becomes something else. */
export interface Splice {
  from: number;
  to: number;
  insert: string;
}

export interface Place {
  map: YAMLMap;
  /** The index in the path of the key that belongs to `map`. */
  depth: number;
  pair: Pair | null;
  /** The pair that holds `map`; null for the document itself. */
  holder: Pair | null;
  /** The outermost flow mapping's pair on the way, with the block mapping that it is in. */
  outer: { map: YAMLMap; pair: Pair; depth: number } | null;
}

/** The innermost mapping on the way, and the pair in it that the way goes through. */
export function placeOf(root: YAMLMap, path: Path): Place {
  let map = root;
  let holder: Pair | null = null;
  let outer: Place['outer'] = null;
  for (let depth = 0; ; depth += 1) {
    const pair = map.items.find((one) => isScalar(one.key) && String(one.key.value) === path[depth]) ?? null;
    const value = pair?.value;
    if (pair === null || depth === path.length - 1 || !isMap(value) || value.items.length === 0)
      return { map, depth, pair, holder, outer };
    if (outer === null && !map.flow && value.flow) outer = { map, pair, depth };
    holder = pair;
    map = value;
  }
}

/** The change that sets a value. Undefined removes it; null for nothing to do. */
export function spliceOf(text: string, { document, json }: Parsed, path: Path, value: Value): Splice | null {
  const place = placeOf(document.contents as YAMLMap, path);
  const { map, depth, pair } = place;
  const rest = path.slice(depth + 1);
  const gone = value === undefined;
  if (gone && (pair === null || (rest.length > 0 && !isMap(pair.value)))) return null;
  // Nothing is in an empty mapping.
  if (gone && rest.length > 0) return null;
  if (!map.flow) {
    if (gone) return removal(text, place);
    if (pair === null) return insertion(text, map, path[depth] ?? '', nested(rest, value));
    return replacement(text, map, pair, nested(rest, value));
  }
  const wide = json ? null : widened(text, place, path, value);
  if (wide !== null) return wide;
  if (gone) return pair && flowRemoval(text, map, pair);
  const fresh = nested(rest, value);
  const put = (column: number) => (json ? inJson(fresh, column, text.includes('\n')) : inFlow(fresh));
  if (pair === null) return flowInsertion(text, map, keyText(path[depth] ?? '', json), put);
  return flowReplacement(text, pair, put(columnOf(text, startOf(pair))));
}

/** `value` inside of mappings for the rest of its path. */
function nested(rest: Path, value: Value): Value {
  return [...rest].reverse().reduce<Value>((inner, key) => ({ [key]: inner }), value);
}

// -- places of the parser ---------------------------------------------------------------------------------------------

function startOf(pair: Pair): number {
  return (isNode(pair.key) ? pair.key.range?.[0] : null) ?? 0;
}

function keyEnd(pair: Pair): number {
  return (isNode(pair.key) ? pair.key.range?.[1] : null) ?? 0;
}

/** Where a pair ends: behind its value, or its key's colon. */
function endOf(text: string, pair: Pair): number {
  const value = valueEnd(text, pair.value);
  return value > keyEnd(pair) ? value : colonEnd(text, pair);
}

/** The parser counts blank lines and comments behind a collection in block style to it: they are not. */
export function valueEnd(text: string, value: unknown): number {
  if (!isNode(value)) return 0;
  if (!isCollection(value) || value.flow === true) return value.range?.[1] ?? 0;
  const last = value.items.at(-1);
  return isPair(last) ? endOf(text, last) : valueEnd(text, last);
}

/** Behind the colon of a key; behind the key where there is none. */
function colonEnd(text: string, pair: Pair): number {
  const end = keyEnd(pair);
  return end + (/^\s*:/.exec(text.slice(end, end + 200))?.[0].length ?? 0);
}

function lineStart(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1;
}

function lineEnd(text: string, at: number): number {
  const newline = text.indexOf('\n', at);
  return newline < 0 ? text.length : newline;
}

function columnOf(text: string, at: number): number {
  return at - lineStart(text, at);
}

export function keyColumn(text: string, map: YAMLMap): number {
  const [first] = map.items;
  return first ? columnOf(text, startOf(first)) : 0;
}

/** From the beginning of a pair's first line to the beginning of the line after its last. */
export function linesOf(text: string, pair: Pair): { from: number; to: number } {
  const start = startOf(pair);
  const from = lineStart(text, start);
  return { from, to: linesTo(text, start, endOf(text, pair), start - from) };
}

/** The beginning of the line after what ends at `end`, and after the comments that belong to it. */
export function linesTo(text: string, start: number, end: number, column: number): number {
  // A value's own text may end behind its line's end: a block scalar does.
  const last = end > start && text[end - 1] === '\n' ? end - 1 : end;
  const to = Math.min(lineEnd(text, last) + 1, text.length);
  return to + commentsBelow(text.slice(to), column);
}

/** How much of a text is comments that stand further to the right than a column: they end what began there. */
function commentsBelow(text: string, column: number): number {
  const [found = ''] = new RegExp(`^(?:(?: *\\n)*(?: {${column + 1},}#.*(?:\\n|$)))+`).exec(text) ?? [];
  return found.length;
}

/** Where comments begin that stand right above a line, with its indentation: they are about it. */
export function commentAbove(text: string, from: number): number {
  const indent = /^ */.exec(text.slice(from, lineEnd(text, from)))?.[0] ?? '';
  let at = from;
  while (at > 0) {
    const start = lineStart(text, at - 1);
    if (!text.slice(start, at - 1).startsWith(`${indent}#`)) break;
    at = start;
  }
  return at;
}

// -- block mappings ---------------------------------------------------------------------------------------------------

function insertion(text: string, map: YAMLMap, key: string, value: Value): Splice {
  const column = keyColumn(text, map);
  const last = map.items.at(-1);
  const at = isPair(last) ? linesOf(text, last).to : text.length;
  const before = at === 0 || text[at - 1] === '\n' ? '' : '\n';
  return { from: at, to: at, insert: `${before}${' '.repeat(column)}${written(key, value, column)}\n` };
}

function replacement(text: string, map: YAMLMap, pair: Pair, value: Value): Splice {
  const start = startOf(pair);
  const key = text.slice(start, keyEnd(pair));
  const column = keyColumn(text, map);
  const source = isScalar(pair.key) ? String(pair.key.value) : '';
  const flow = isMap(pair.value) && pair.value.flow === true;
  const fresh = written(source, value, column, flow).slice(keyText(source).length);
  const end = endOf(text, pair);
  const stop = end > start && text[end - 1] === '\n' ? end - 1 : end;
  // What stood beside the key of a value of several lines, and what stands behind the value.
  const valueStart = isNode(pair.value) ? (pair.value.range?.[0] ?? 0) : 0;
  const beside = commentsIn(text.slice(colonEnd(text, pair), Math.max(valueStart, colonEnd(text, pair))));
  const behind = text.slice(stop, lineEnd(text, stop)).trim();
  if (beside === '' && (behind === '' || !fresh.includes('\n')))
    return { from: start + key.length, to: stop, insert: fresh };
  const indent = ' '.repeat(column);
  const above = [...beside.split('\n'), behind].filter((one) => one !== '').map((one) => `${one}\n${indent}`);
  return { from: start, to: lineEnd(text, stop), insert: `${above.join('')}${key}${fresh}` };
}

function commentsIn(gap: string): string {
  return gap
    .split('\n')
    .map((line) => /(?:^|\s)(#.*)$/.exec(line)?.[1]?.trimEnd() ?? '')
    .filter((one) => one !== '')
    .join('\n');
}

function removal(text: string, { map, pair, holder }: Place): Splice | null {
  if (pair === null) return null;
  const { from, to } = linesOf(text, pair);
  const start = commentAbove(text, from);
  if (map.items.length > 1) return { from: start, to, insert: '' };
  if (holder === null) return { from: start, to, insert: '{}\n' };
  const colon = colonEnd(text, holder);
  return { from: colon, to, insert: ` {}${text.slice(colon, start)}` };
}

// -- flow mappings ----------------------------------------------------------------------------------------------------

/** Block style for a flow mapping that no longer fits into its line; null if it does, or has lines of its own. */
function widened(text: string, { outer }: Place, path: Path, value: Value): Splice | null {
  if (outer === null || text.slice(startOf(outer.pair), endOf(text, outer.pair)).includes('\n')) return null;
  const held: Value = isNode(outer.pair.value) ? outer.pair.value.toJSON() : null;
  const after = changed(held, path.slice(outer.depth + 1), value);
  const key = isScalar(outer.pair.key) ? String(outer.pair.key.value) : '';
  if (fits(key, after, keyColumn(text, outer.map))) return null;
  return replacement(text, outer.map, outer.pair, after);
}

/** A value with something in it set, or, for undefined, removed. */
export function changed(before: Value, path: Path, value: Value): Value {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const top = isMapping(before) ? before : {};
  if (value === undefined && !Object.hasOwn(top, key)) return before;
  const inner = changed(top[key], rest, value);
  if (inner !== undefined) return { ...top, [key]: inner };
  return Object.fromEntries(Object.entries(top).filter(([name]) => name !== key));
}

function flowInsertion(text: string, map: YAMLMap, key: string, put: (column: number) => string): Splice {
  const last = map.items.at(-1);
  if (!isPair(last))
    return { from: map.range?.[0] ?? 0, to: map.range?.[1] ?? 0, insert: `{${key}: ${put(0)}}` };
  const end = endOf(text, last);
  const column = columnOf(text, startOf(last));
  const own = text.slice(lineStart(text, startOf(last)), startOf(last)).trim() === '';
  if (!own || map.items.length === 0) return { from: end, to: end, insert: `, ${key}: ${put(column)}` };
  // Each pair has a line: so has this one, and what stands behind the last one stays with that.
  const closing = (map.range?.[1] ?? end) - 1;
  const stop = Math.min(lineEnd(text, end), closing);
  const behind = text.slice(end, stop).trimEnd();
  const comma = /^\s*,/.test(text.slice(end, closing)) ? '' : ',';
  return {
    from: end,
    to: end + behind.length,
    insert: `${comma}${behind}\n${' '.repeat(column)}${key}: ${put(column)}`,
  };
}

function flowReplacement(text: string, pair: Pair, fresh: string): Splice {
  const colon = colonEnd(text, pair);
  const range = isNode(pair.value) ? pair.value.range : null;
  if (colon === keyEnd(pair)) return { from: colon, to: colon, insert: `: ${fresh}` };
  if (!range || range[1] <= colon) return { from: colon, to: colon, insert: ` ${fresh}` };
  return { from: range[0], to: range[1], insert: fresh };
}

function flowRemoval(text: string, map: YAMLMap, pair: Pair): Splice {
  const index = map.items.indexOf(pair);
  const [before, after] = [map.items[index - 1], map.items[index + 1]];
  const start = startOf(pair);
  const end = endOf(text, pair);
  if (after !== undefined) {
    const next = startOf(after);
    const from = lineStart(text, start);
    const to = lineEnd(text, end) + 1;
    const own = text.slice(from, start).trim() === '' && to <= next;
    return own ? { from, to, insert: '' } : { from: start, to: next, insert: '' };
  }
  if (before === undefined) return { from: map.range?.[0] ?? start, to: map.range?.[1] ?? end, insert: '{}' };
  const from = endOf(text, before);
  // A comment on what is before stays, with the comma.
  if (!text.slice(from, start).includes('#')) return { from, to: end, insert: '' };
  const rest = text.slice(end, map.range?.[1] ?? end);
  // What stands behind it on its line goes along.
  const behind = /^[^\S\n]*,?[^\S\n]*(?:#.*)?\n/.exec(rest)?.[0].length ?? 0;
  const comma = /^\s*,/.exec(rest)?.[0].length ?? 0;
  return { from: lineStart(text, start), to: end + Math.max(behind, comma), insert: '' };
}
