/** Which lines of a document may change when something in it does: said once more, for tests. */
import { LineCounter, isMap, isNode, isScalar, parseDocument, type Pair } from 'yaml';

/**
 * The lines that may change when a value is set at a path: those of the innermost pair on the way, with the comments on
 * it; and of the pair around it, where that is left with nothing.
 */
export function mayChange(text: string, path: readonly string[]): Set<number> {
  const counter = new LineCounter();
  let map: unknown = parseDocument(text, { lineCounter: counter, logLevel: 'silent' }).contents;
  const may = new Set<number>();
  const line = (at: number) => counter.linePos(at).line;
  let around = isMap(map) && map.flow ? [1, line(map.range?.[1] ?? 0)] : [];
  for (const [depth, key] of path.entries()) {
    if (!isMap(map)) break;
    const pair: Pair | undefined = map.items.find(
      (one) => isScalar(one.key) && String(one.key.value) === key,
    );
    if (pair === undefined) break;
    const { value } = pair;
    const start = isNode(pair.key) ? (pair.key.range?.[0] ?? 0) : 0;
    const end = Math.max(start, isNode(value) ? (value.range?.[1] ?? 0) - 1 : 0);
    // In braces the last one takes the comma before it along.
    const before = map.items[map.items.indexOf(pair) - 1];
    if (map.flow && before && isNode(before.value)) may.add(line(before.value.range?.[1] ?? 0));
    if (map.items.length === 1) around.forEach((one) => may.add(one));
    around = [line(start)];
    // What is in braces may have been in one line, and may have to be in several.
    const inner = depth < path.length - 1 && isMap(value) && value.items.length > 0;
    if (!inner || value.flow) for (const one of withComments(text, line(start), line(end))) may.add(one);
    map = value;
  }
  // A mapping in braces gets its new pair before the last of them.
  if (isMap(map) && map.flow) for (let one = 1; one <= text.split('\n').length; one += 1) may.add(one);
  return may;
}

/** With the comments right above it, and those below that stand further to the right. */
function withComments(text: string, from: number, to: number): number[] {
  const lines = text.split('\n');
  let first = from;
  while (first > 1 && /^\s*#/.test(lines[first - 2] ?? '')) first -= 1;
  let last = to;
  while (last > from && /^\s*$/.test(lines[last - 1] ?? '')) last -= 1;
  const column = /^ */.exec(lines[from - 1] ?? '')?.[0].length ?? 0;
  for (let next = last; next < lines.length && /^ *(#|$)/.test(lines[next] ?? ''); next += 1)
    if ((/^( *)#/.exec(lines[next] ?? '')?.[1]?.length ?? 0) > column) last = next + 1;
  return Array.from({ length: last - first + 1 }, (_one, index) => first + index);
}

/** A line of `before` that may not change, and is not in `after` in its turn; null for none. */
export function lost(before: string, after: string, may: ReadonlySet<number>): string | null {
  const lines = after.split('\n');
  let at = 0;
  const all = before.split('\n');
  for (const [index, line] of all.entries()) {
    // The last line is what comes behind the last newline.
    if (may.has(index + 1) || (line === '' && index === all.length - 1)) continue;
    const found = lines.indexOf(line, at);
    if (found < 0) return `${index + 1}: ${line}`;
    at = found + 1;
  }
  return null;
}
