/**
 * Changes of a flow's document that leave all other lines as they are: comments, order, quotes, blank lines.
 *
 * Text is spliced at the places that the parser names. What changes inside a block mapping is one pair of it; inside a
 * flow mapping (`{a: 1}`) it is that mapping, written anew on its line.
 */
import {
  isMap,
  isNode,
  isPair,
  isScalar,
  parseDocument,
  stringify,
  type Document,
  type Pair,
  type YAMLMap,
} from 'yaml';

export type Path = readonly string[];
export type Value = unknown;

/** A flow mapping is written in one line as long as it is no longer than this. */
const ONE_LINE = 90;
const INDENT = 2;

/** Set a value by its path; what is not there is made. Raises `Error` for a document that is broken or no mapping. */
export function setIn(text: string, path: Path, value: Value): string {
  if (value === undefined) return removeIn(text, path);
  const document = read(text);
  const { map, depth, pair } = deepest(document, path);
  const rest = path.slice(depth + 1);
  if (pair === null) return insert(text, map, path[depth] ?? '', nested(rest, value));
  return replace(text, map, pair, rest.length === 0 ? value : changed(pair, rest, value));
}

/** Remove what is at a path. Mappings that it leaves empty stay, as `{}`. */
export function removeIn(text: string, path: Path): string {
  const document = read(text);
  const { map, depth, pair } = deepest(document, path);
  if (pair === null) return text;
  const rest = path.slice(depth + 1);
  if (rest.length > 0) return replace(text, map, pair, changed(pair, rest, undefined));
  if (map.items.length === 1) return emptied(text, map);
  const { from, to } = linesOf(text, pair);
  return text.slice(0, commentAbove(text, from)) + text.slice(to);
}

/** The value at a path; undefined for none, and for a document that is broken. */
export function getIn(text: string, path: Path): Value {
  const document = parseDocument(text, { logLevel: 'silent' });
  if (document.errors.length > 0) return undefined;
  const found = document.getIn(path);
  return isNode(found) ? found.toJS(document) : found;
}

/** Give a key another name; what it stands for stays as it is written. */
export function renameKey(text: string, path: Path, name: string): string {
  const map = read(text).getIn(path.slice(0, -1));
  const key = isMap(map)
    ? map.items.find((one) => isScalar(one.key) && one.key.value === path.at(-1))?.key
    : null;
  if (!isScalar(key) || !key.range) return text;
  return text.slice(0, key.range[0]) + scalar(name) + text.slice(key.range[1]);
}

/** How a pair stands in the document, with the comments right above it, moved to the left margin; null for none. */
export function sourceOf(text: string, path: Path): string | null {
  const { map, depth, pair } = deepest(read(text), path);
  if (pair === null || depth !== path.length - 1 || map.flow) {
    const value = getIn(text, path);
    return value === undefined ? null : written(path.at(-1) ?? '', value, 0);
  }
  const { from, to } = linesOf(text, pair);
  const lines = text.slice(commentAbove(text, from), to).trimEnd().split('\n');
  const column = keyColumn(text, map);
  return lines.map((line) => line.slice(Math.min(column, line.length - line.trimStart().length))).join('\n');
}

/** Add a pair to the mapping at a path, as `source` has it. Its key must not be there yet. */
export function addSource(text: string, path: Path, source: string): string {
  const document = read(text);
  const map = document.getIn(path);
  if (!isMap(map) || map.flow || map.items.length === 0) {
    const [[key, value] = ['', null]] = Object.entries(
      (parseDocument(source).toJS() ?? {}) as Record<string, Value>,
    );
    return setIn(text, [...path, key], value);
  }
  const indent = ' '.repeat(keyColumn(text, map));
  const last = map.items.at(-1);
  if (!isPair(last)) return text;
  const lines = source.split('\n').map((line) => (line === '' ? line : indent + line));
  const { to } = linesOf(text, last);
  const before = text.slice(0, to);
  return `${before}${before.endsWith('\n') ? '' : '\n'}${lines.join('\n')}\n${text.slice(to)}`;
}

// -- how ----------------------------------------------------------------------------------------------------------

function read(text: string): Document {
  const document = parseDocument(text, { logLevel: 'silent' });
  const [error] = document.errors;
  if (error !== undefined)
    throw new Error(`Line ${error.linePos?.[0].line ?? 1}: ${error.message.split('\n', 1)[0] ?? ''}`);
  if (!isMap(document.contents)) throw new Error('The document is no mapping.');
  return document;
}

interface Found {
  map: YAMLMap;
  /** The index in the path of the key that belongs to `map`. */
  depth: number;
  pair: Pair | null;
}

/** The innermost mapping in block style on the way, and the pair in it that the way goes through. */
function deepest(document: Document, path: Path): Found {
  let map = document.contents as YAMLMap;
  for (let depth = 0; ; depth += 1) {
    const key = path[depth];
    const pair = map.items.find((one) => isScalar(one.key) && String(one.key.value) === key) ?? null;
    const value = pair?.value;
    if (
      pair === null ||
      depth === path.length - 1 ||
      !isMap(value) ||
      value.flow ||
      value.items.length === 0
    ) {
      return { map, depth, pair };
    }
    map = value;
  }
}

/** `value` inside of mappings for the rest of its path. */
function nested(rest: Path, value: Value): Value {
  return [...rest].reverse().reduce<Value>((inner, key) => ({ [key]: inner }), value);
}

/** What a pair holds, with something in it changed (or, for undefined, removed). */
function changed(pair: Pair, rest: Path, value: Value): Value {
  const held: Value = isNode(pair.value) ? structuredClone(pair.value.toJSON() as Value) : pair.value;
  const top = isObject(held) ? held : {};
  let at = top;
  for (const key of rest.slice(0, -1)) {
    const inner = at[key];
    at = isObject(inner) ? inner : (at[key] = {});
  }
  const last = rest.at(-1) ?? '';
  if (value === undefined) Reflect.deleteProperty(at, last);
  else at[last] = value;
  return top;
}

function isObject(value: Value): value is Record<string, Value> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** From the beginning of a pair's first line to the beginning of the line after its last. */
function linesOf(text: string, pair: Pair): { from: number; to: number } {
  const [start, end] = spanOf(pair);
  const from = text.lastIndexOf('\n', start - 1) + 1;
  // A value's own text may end behind its line's end: a block scalar does.
  const last = end > start && text[end - 1] === '\n' ? end - 1 : end;
  const newline = text.indexOf('\n', last);
  return { from, to: newline < 0 ? text.length : newline + 1 };
}

function spanOf(pair: Pair): [number, number] {
  const key = isNode(pair.key) ? pair.key.range : null;
  const value = isNode(pair.value) ? pair.value.range : null;
  const start = key?.[0] ?? 0;
  return [start, Math.max(value?.[1] ?? 0, key?.[1] ?? 0)];
}

/** Where comments begin that stand right above a line, with its indentation: they are about it. */
function commentAbove(text: string, from: number): number {
  const indent = /^ */.exec(text.slice(from))?.[0] ?? '';
  let at = from;
  while (at > 0) {
    const start = text.lastIndexOf('\n', at - 2) + 1;
    const line = text.slice(start, at - 1);
    if (!line.startsWith(`${indent}#`)) break;
    at = start;
  }
  return at;
}

function columnOf(text: string, at: number): number {
  return at - (text.lastIndexOf('\n', at - 1) + 1);
}

function keyColumn(text: string, map: YAMLMap): number {
  const key = map.items[0]?.key;
  return isNode(key) && key.range ? columnOf(text, key.range[0]) : 0;
}

function insert(text: string, map: YAMLMap, key: string, value: Value): string {
  const indent = ' '.repeat(keyColumn(text, map));
  const last = map.items.at(-1);
  const line = indent + written(key, value, indent.length);
  if (!isPair(last)) return `${text.trimEnd()}\n${line}\n`;
  const { to } = linesOf(text, last);
  const before = text.slice(0, to);
  return `${before}${before.endsWith('\n') || before === '' ? '' : '\n'}${line}\n${text.slice(to)}`;
}

function replace(text: string, map: YAMLMap, pair: Pair, value: Value): string {
  const key = isNode(pair.key) ? pair.key.range : null;
  if (!key) return text;
  const source = isScalar(pair.key) ? String(pair.key.value) : '';
  const [, end] = spanOf(pair);
  const flow = isMap(pair.value) && pair.value.flow === true;
  const fresh = written(source, value, keyColumn(text, map), flow).slice(scalar(source).length);
  const stop = end > key[0] && text[end - 1] === '\n' ? end - 1 : end;
  const after = Math.max(stop, key[1] + colonLength(text, key[1], stop));
  const newline = !text.includes('\n', after) ? text.length : text.indexOf('\n', after);
  const comment = text.slice(after, newline).trim();
  if (!fresh.includes('\n') || comment === '') return text.slice(0, key[1]) + fresh + text.slice(after);
  // What stood behind a value of one line stands above one of many.
  const indent = ' '.repeat(columnOf(text, key[0]));
  return `${text.slice(0, key[0])}${comment}\n${indent}${text.slice(key[0], key[1])}${fresh}${text.slice(newline)}`;
}

/** How far the colon reaches behind a key that has no value. */
function colonLength(text: string, keyEnd: number, stop: number): number {
  return stop > keyEnd ? 0 : (/^\s*:/.exec(text.slice(keyEnd))?.[0].length ?? 0);
}

/** A mapping of which the last pair goes. */
function emptied(text: string, map: YAMLMap): string {
  const first = map.items[0];
  if (!isPair(first)) return text;
  const { from, to } = linesOf(text, first);
  const start = commentAbove(text, from);
  const above = text.slice(0, start).replace(/\s*$/, '');
  return above === '' ? `{}\n${text.slice(to)}` : `${above} {}\n${text.slice(to)}`;
}

function scalar(name: string): string {
  return stringify(name, { lineWidth: 0 }).trimEnd();
}

/** A pair as it stands in a document: in one line if it is short, else in block style. */
function written(key: string, value: Value, column: number, flow = false): string {
  if (typeof value === 'object' && value !== null) {
    const line = `${scalar(key)}: ${inFlow(value)}`;
    const simple =
      Array.isArray(value) || Object.values(value).every((one) => typeof one !== 'object' || one === null);
    if ((simple || flow) && !line.includes('\n') && column + line.length <= ONE_LINE) return line;
  }
  const lines = stringify({ [key]: value }, { lineWidth: 0, indent: INDENT })
    .trimEnd()
    .split('\n');
  return lines
    .map((line, index) => (index === 0 || line === '' ? line : ' '.repeat(column) + line))
    .join('\n');
}

function inFlow(value: Value): string {
  const document = parseDocument('');
  document.contents = document.createNode(value, { flow: true }) as never;
  return document.toString({ lineWidth: 0, flowCollectionPadding: false }).trimEnd();
}
