/** A flow's document as the parser sees it. The last few are kept: a form asks for dozens of places of one text. */
import { isMap, parseDocument, type Document } from 'yaml';

export type Value = unknown;

export interface Parsed {
  document: Document;
  /** What is wrong with it as YAML; null for nothing. */
  problem: string | null;
  /** What it says; undefined for a broken document. */
  value: Value;
  /** It is JSON, and should stay so. */
  json: boolean;
}

const KEPT = 6;
const kept = new Map<string, Parsed>();

export function parsed(text: string): Parsed {
  const found = kept.get(text) ?? parse(text);
  kept.delete(text);
  kept.set(text, found);
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT) break;
    kept.delete(oldest);
  }
  return found;
}

function parse(text: string): Parsed {
  const document = parseDocument(text, { logLevel: 'silent' });
  const [error] = document.errors;
  if (error !== undefined) {
    const line = error.linePos?.[0].line ?? 1;
    const problem = `Line ${line}: ${error.message.split('\n', 1)[0] ?? ''}`;
    return { document, problem, value: undefined, json: false };
  }
  try {
    return { document, problem: null, value: document.toJS() as Value, json: isJson(document, text) };
  } catch (caught) {
    // Aliases that would grow without end.
    const problem = caught instanceof Error ? caught.message : 'It cannot be read.';
    return { document, problem, value: undefined, json: false };
  }
}

function isJson({ contents }: Document, text: string): boolean {
  if (!isMap(contents) || contents.flow !== true || contents.items.length === 0) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export function isMapping(value: Value): value is Record<string, Value> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether two values say the same. */
export function same(one: Value, other: Value): boolean {
  if (Object.is(one, other) || (one === 0 && other === 0)) return true;
  if (Array.isArray(one) && Array.isArray(other))
    return one.length === other.length && one.every((item, index) => same(item, other[index]));
  if (!isMapping(one) || !isMapping(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
  );
}
