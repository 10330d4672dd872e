/**
 * Changes of a flow's document that leave all other lines as they are: comments, order, quotes, blank lines.
 *
 * Text is spliced at the places that the parser names (`splices.ts`). What comes out is read again before it is given
 * away: a change that would mean something else than it should is refused, so that none can do harm.
 */
import { isMap, isPair, isScalar, type Document } from 'yaml';

import { isMapping, parsed, same, type Value } from '~/editor/documents';
import {
  changed,
  commentAbove,
  keyColumn,
  linesOf,
  placeOf,
  spliceOf,
  type Path,
  type Splice,
} from '~/editor/splices';
import { keyText, written } from '~/editor/written';

export type { Path } from '~/editor/splices';

/** A value, or undefined for none, and the path that it belongs at. */
export type Change = readonly [path: Path, value: Value];

/** Set a value by its path; what is not there is made. Raises `Error` for a document that is broken or no mapping. */
export function setIn(text: string, path: Path, value: Value): string {
  const splice = spliceOf(text, usable(text), path, value);
  if (splice === null) return text;
  return checked(text, spliced(text, [splice]), [[path, value]]);
}

/** Remove what is at a path. Mappings that it leaves empty stay, as `{}`. */
export function removeIn(text: string, path: Path): string {
  return setIn(text, path, undefined);
}

/** Set a field of what is at `base`. A mapping there that is left empty goes, too: `retry: {}` says nothing. */
export function setField(text: string, base: Path, path: Path, value: Value): string {
  const after = setIn(text, [...base, ...path], value);
  const [name] = path;
  if (name === undefined || path.length < 2) return after;
  const left = getIn(after, [...base, name]);
  return isMapping(left) && Object.keys(left).length === 0 ? removeIn(after, [...base, name]) : after;
}

/** Many changes at once, none of which is inside of another. */
export function changeAll(text: string, changes: readonly Change[]): string {
  const before = usable(text);
  const splices = changes.flatMap(([path, value]) => spliceOf(text, before, path, value) ?? []);
  if (splices.length === 0) return text;
  if (areApart(splices)) {
    const after = spliced(text, splices);
    if (means(text, after, changes)) return after;
  }
  // Neighbours in one line, or all that a mapping has: one after the other.
  return changes.reduce((now, [path, value]) => setIn(now, path, value), text);
}

/** The value at a path; undefined for none, and for a document that is broken. */
export function getIn(text: string, path: Path): Value {
  return path.reduce<Value>(
    (at, key) => (isMapping(at) && Object.hasOwn(at, key) ? at[key] : undefined),
    parsed(text).value,
  );
}

/** Give a key another name; what it stands for stays as it is written. */
export function renameKey(text: string, path: Path, name: string): string {
  const { document, json } = usable(text);
  const map = document.getIn(path.slice(0, -1));
  const key = isMap(map)
    ? map.items.find((one) => isScalar(one.key) && one.key.value === path.at(-1))?.key
    : null;
  if (!isScalar(key) || !key.range) return text;
  return text.slice(0, key.range[0]) + keyText(name, json) + text.slice(key.range[1]);
}

/** How a pair stands in the document, with the comments right above it, moved to the left margin; null for none. */
export function sourceOf(text: string, path: Path): string | null {
  const { map, depth, pair } = placeOf(usable(text).document.contents, path);
  if (pair === null || depth !== path.length - 1 || map.flow) {
    const value = getIn(text, path);
    return value === undefined ? null : written(path.at(-1) ?? '', value, 0);
  }
  const { from, to } = linesOf(text, pair);
  const lines = text.slice(commentAbove(text, from), to).trimEnd().split('\n');
  const column = keyColumn(text, map);
  return lines.map((line) => line.slice(Math.min(column, line.length - line.trimStart().length))).join('\n');
}

/** Add pairs to the mapping at a path, as `source` has them. Their keys must not be there yet. */
export function addSource(text: string, path: Path, source: string): string {
  const { document } = usable(text);
  const value = parsed(source).value;
  const changes = Object.entries(isMapping(value) ? value : {}).map(([key, one]): Change => [
    [...path, key],
    one,
  ]);
  const map = document.getIn(path);
  const last = isMap(map) && !map.flow ? map.items.at(-1) : undefined;
  if (!isMap(map) || !isPair(last)) return changes.reduce((now, [at, one]) => setIn(now, at, one), text);
  const indent = ' '.repeat(keyColumn(text, map));
  const lines = source.split('\n').map((line) => (line === '' ? line : indent + line));
  const { to } = linesOf(text, last);
  const before = to === 0 || text[to - 1] === '\n' ? '' : '\n';
  const after = spliced(text, [{ from: to, to, insert: `${before}${lines.join('\n')}\n` }]);
  return checked(text, after, changes);
}

// -- how ----------------------------------------------------------------------------------------------------------

function usable(text: string) {
  const found = parsed(text);
  if (found.problem !== null) throw new Error(found.problem);
  const { contents } = found.document;
  if (!isMap(contents)) throw new Error('The document is no mapping.');
  return { ...found, document: found.document as Document & { contents: typeof contents } };
}

/** The text with all splices made; they must be apart. */
export function spliced(text: string, splices: readonly Splice[]): string {
  let after = '';
  let at = 0;
  for (const { from, to, insert } of splices.toSorted((one, other) => one.from - other.from)) {
    after += text.slice(at, from) + insert;
    at = to;
  }
  return after + text.slice(at);
}

function areApart(splices: readonly Splice[]): boolean {
  const order = splices.toSorted((one, other) => one.from - other.from);
  return order.every(({ to }, index) => {
    const next = order[index + 1];
    return next === undefined || (to <= next.from && !(order[index]?.from === next.from));
  });
}

function means(before: string, after: string, changes: readonly Change[]): boolean {
  const { problem, value } = parsed(after);
  return problem === null && same(value, changedAll(parsed(before).value, changes));
}

/** A value with all changes made in it. Its parts are copied once, not for each change. */
function changedAll(before: Value, changes: readonly Change[]): Value {
  const [only, ...more] = changes;
  if (only !== undefined && more.length === 0) return changed(before, ...only);
  if (!isMapping(before) || changes.some(([path]) => path.length === 0))
    return changes.reduce<Value>((value, [path, one]) => changed(value, path, one), before);
  const byKey = new Map<string, Change[]>();
  for (const change of changes) {
    const [[key = '']] = change;
    const there = byKey.get(key);
    if (there) there.push(change);
    else byKey.set(key, [change]);
  }
  const after = { ...before };
  for (const [key, some] of byKey) {
    const inner = changedAll(
      after[key],
      some.map(([path, value]): Change => [path.slice(1), value]),
    );
    if (inner === undefined) Reflect.deleteProperty(after, key);
    else after[key] = inner;
  }
  return after;
}

/** What came out, if it means what it should; else an `Error`. */
export function checked(before: string, after: string, changes: readonly Change[]): string {
  if (means(before, after, changes)) return after;
  const [path] = changes[0] ?? [[]];
  throw new Error(`${path.join('.')} is written in a way that only the document itself can be changed in.`);
}
