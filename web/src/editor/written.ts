/** How values are written in a flow's document. */
import { Document, parseDocument, Scalar, stringify, visit } from 'yaml';

import type { Value } from '~/editor/documents';

/** A flow mapping is written in one line as long as it is no longer than this. */
const ONE_LINE = 90;
const INDENT = 2;

/** A key as it stands before its colon. */
export function keyText(name: string, json = false): string {
  return json ? JSON.stringify(name) : stringify(name, { lineWidth: 0 }).trimEnd();
}

/** A pair as it stands in a document: in one line if it is short, else in block style. */
export function written(key: string, value: Value, column: number, flow = false): string {
  if (typeof value === 'object' && value !== null) {
    const simple =
      Array.isArray(value) || Object.values(value).every((one) => typeof one !== 'object' || one === null);
    if ((simple || flow) && fits(key, value, column)) return `${keyText(key)}: ${inFlow(value)}`;
  }
  const lines = inBlock({ [key]: value }).split('\n');
  return lines
    .map((line, index) => (index === 0 || line === '' ? line : ' '.repeat(column) + line))
    .join('\n');
}

/** Whether a pair can be read in one line: not if it is long, or has a text of several lines in it. */
export function fits(key: string, value: Value, column: number): boolean {
  if (hasLines(value)) return false;
  const line = `${keyText(key)}: ${inFlow(value)}`;
  return !line.includes('\n') && column + line.length <= ONE_LINE;
}

function hasLines(value: Value): boolean {
  if (typeof value === 'string') return value.includes('\n');
  return typeof value === 'object' && value !== null && Object.values(value).some(hasLines);
}

/** A value in lines of its own. */
export function inBlock(value: Value): string {
  const document = new Document(value);
  visit(document, {
    // Blank lines that come after it would belong to a text that ends with some.
    Scalar(_place, scalar) {
      if (typeof scalar.value === 'string' && /(^|\n)\n$/.test(scalar.value))
        scalar.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document.toString({ lineWidth: 0, indent: INDENT }).trimEnd();
}

/** A value in a line. */
export function inFlow(value: Value): string {
  const document = parseDocument('');
  // In a list, for what a text by itself may begin with it may not begin with there.
  document.contents = document.createNode([value], { flow: true }) as never;
  return document.toString({ lineWidth: 0, flowCollectionPadding: false }).trimEnd().slice(1, -1);
}

/** A value in a document of JSON: with lines of its own, if that has lines. */
export function inJson(value: Value, column: number, lines: boolean): string {
  return lines
    ? JSON.stringify(value, null, INDENT).replaceAll('\n', `\n${' '.repeat(column)}`)
    : JSON.stringify(value);
}
