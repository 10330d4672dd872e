/** Changes of a list in a flow's document, item by item: the lines of all others stay as they are. */
import { isMap, isNode, isSeq, parseDocument, stringify, type YAMLSeq } from 'yaml';

import { removeIn, setIn, type Path } from '~/editor/edits';

/** Adds an item at the end of the list at a path. */
export function addItem(text: string, path: Path, item: unknown): string {
  const list = blockOf(text, path);
  if (list === null) return setIn(text, path, [...valuesOf(text, path), item]);
  const last = linesOfItem(text, list, list.items.length - 1);
  const dash = `${' '.repeat(last.column)}- `;
  const lines = stringify(item, { lineWidth: 0, indent: 2 }).trimEnd().split('\n');
  const written = lines
    .map((line, index) => (index === 0 ? dash : ' '.repeat(dash.length)) + line)
    .join('\n');
  const before = text.slice(0, last.to);
  return `${before}${before.endsWith('\n') ? '' : '\n'}${written}\n${text.slice(last.to)}`;
}

/** Takes the item at a place out of the list at a path; with the last one the list goes. */
export function removeItem(text: string, path: Path, index: number): string {
  const values = valuesOf(text, path);
  if (values.length < 2) return index in values ? removeIn(text, path) : text;
  const list = blockOf(text, path);
  if (list === null)
    return setIn(
      text,
      path,
      values.filter((_one, place) => place !== index),
    );
  const { from, to } = linesOfItem(text, list, index);
  return text.slice(0, from) + text.slice(to);
}

function valuesOf(text: string, path: Path): unknown[] {
  const document = parseDocument(text, { logLevel: 'silent' });
  const found: unknown = document.errors.length > 0 ? undefined : document.getIn(path);
  const value: unknown = isNode(found) ? found.toJS(document) : found;
  return Array.isArray(value) ? (value as unknown[]) : [];
}

/** The list at a path, if it is written in lines of its own. */
function blockOf(text: string, path: Path): YAMLSeq | null {
  const document = parseDocument(text, { logLevel: 'silent' });
  if (document.errors.length > 0 || !isMap(document.contents)) return null;
  const found: unknown = document.getIn(path);
  return isSeq(found) && found.flow !== true && found.items.length > 0 ? found : null;
}

function linesOfItem(
  text: string,
  list: YAMLSeq,
  index: number,
): { from: number; to: number; column: number } {
  const item = list.items[index];
  const [start, end] = (isNode(item) ? item.range : null) ?? [0, 0];
  const from = text.lastIndexOf('\n', start - 1) + 1;
  const last = end > start && text[end - 1] === '\n' ? end - 1 : end;
  const newline = text.indexOf('\n', last);
  const column = text.slice(from).indexOf('-');
  return { from, to: newline < 0 ? text.length : newline + 1, column: Math.max(0, column) };
}
