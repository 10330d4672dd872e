/** Changes of a list in a flow's document, item by item: the lines of all others stay as they are. */
import { isCollection, isMap, isSeq, type YAMLSeq } from 'yaml';

import { parsed } from '~/editor/documents';
import { checked, getIn, removeIn, setIn, type Path } from '~/editor/edits';
import { linesTo, valueEnd } from '~/editor/splices';
import { inBlock } from '~/editor/written';

/** Adds an item at the end of the list at a path. */
export function addItem(text: string, path: Path, item: unknown): string {
  const list = blockOf(text, path);
  if (list === null) return setIn(text, path, [...valuesOf(text, path), item]);
  const last = linesOfItem(text, list, list.items.length - 1);
  const dash = `${' '.repeat(last.column)}- `;
  const lines = inBlock(item).split('\n');
  const written = lines
    .map((line, index) => (index === 0 ? dash : ' '.repeat(dash.length)) + line)
    .join('\n');
  const before = text.slice(0, last.to);
  const after = `${before}${before.endsWith('\n') ? '' : '\n'}${written}\n${text.slice(last.to)}`;
  return checked(text, after, [[path, [...valuesOf(text, path), item]]]);
}

/** Takes the item at a place out of the list at a path; with the last one the list goes. */
export function removeItem(text: string, path: Path, index: number): string {
  const values = valuesOf(text, path);
  if (values.length < 2) return index in values ? removeIn(text, path) : text;
  const list = blockOf(text, path);
  const left = values.filter((_one, place) => place !== index);
  if (list === null) return setIn(text, path, left);
  const { from, to } = linesOfItem(text, list, index);
  return checked(text, text.slice(0, from) + text.slice(to), [[path, left]]);
}

function valuesOf(text: string, path: Path): unknown[] {
  const value = getIn(text, path);
  return Array.isArray(value) ? (value as unknown[]) : [];
}

/** Whether what is at a path is written in lines of its own. */
export function isBlock(text: string, path: Path): boolean {
  const found: unknown = parsed(text).document.getIn(path);
  return isCollection(found) && found.flow !== true && found.items.length > 0;
}

/** The list at a path, if it is written in lines of its own. */
function blockOf(text: string, path: Path): YAMLSeq | null {
  const { document, problem } = parsed(text);
  if (problem !== null || !isMap(document.contents)) return null;
  const found: unknown = document.getIn(path);
  return isSeq(found) && found.flow !== true && found.items.length > 0 ? found : null;
}

function linesOfItem(
  text: string,
  list: YAMLSeq,
  index: number,
): { from: number; to: number; column: number } {
  const first = list.range?.[0] ?? 0;
  const column = first - (text.lastIndexOf('\n', first - 1) + 1);
  // A dash may stand alone, above its item.
  const dashes = new RegExp(`^ {${column}}-(?=\\s)`, 'gm');
  dashes.lastIndex = index === 0 ? first - column : valueEnd(text, list.items[index - 1]);
  const from = dashes.exec(text)?.index ?? first - column;
  return { from, to: linesTo(text, from, valueEnd(text, list.items[index]), column), column };
}
