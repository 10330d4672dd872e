/** What can be written where: expressions complete what they may read, `type:` the node types, edges the nodes. */
import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import type { EditorView } from '@codemirror/view';

import { nodeAt, nodesOf, varsOf } from '~/editor/mentions';

export interface Known {
  /** Names of node types, with their titles. */
  types: readonly { name: string; title: string }[];
  secrets: readonly string[];
  /** Names of the input's properties. */
  inputs: readonly string[];
  /** What a path such as `nodes.fetch.output` was in the last run; undefined where nobody knows. */
  inLastRun?: (path: string, node: string | null) => Promise<unknown>;
}

export interface Option {
  label: string;
  detail?: string;
  /** No name that can stand behind a dot. */
  quoted?: boolean;
}

export interface Completed {
  word: string;
  /** Shown as soon as one gets there. */
  eager: boolean;
  options: readonly Option[];
  /** The options are the fields of what this path is. */
  path?: string;
}

const ROOTS: readonly Option[] = [
  { label: 'input', detail: 'of the run' },
  { label: 'nodes', detail: 'outputs by node' },
  { label: 'prev', detail: 'output of the step before' },
  { label: 'vars', detail: "the run's store" },
  { label: 'ports', detail: "the node's ports" },
  { label: 'item', detail: 'in a foreach' },
  { label: 'index', detail: 'in a foreach' },
  { label: 'error', detail: 'behind an error edge' },
  { label: 'secrets' },
  { label: 'run' },
  { label: 'flow' },
  { label: 'account' },
];
const HELPERS: readonly Option[] = [
  { label: 'now()', detail: 'the time, ISO 8601' },
  { label: 'uuid()' },
  { label: 'base64' },
  { label: 'hash' },
  { label: 'hmac' },
  { label: 'jsonpath()', detail: '(value, "$.a[*].b")' },
  { label: 'duration()', detail: '("5m"): milliseconds' },
];
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  run: ['id', 'started_at', 'attempt', 'idempotency_key'],
  flow: ['id', 'name', 'version', 'revision'],
  account: ['id'],
  error: ['code', 'message', 'node', 'details'],
  base64: ['encode()', 'decode()'],
  hash: ['sha256()'],
  hmac: ['sha256()'],
};
const OF_NODE = ['output', 'status', 'error', 'action', 'attempts'];
const FIELDS = [
  'type',
  'params',
  'next',
  'needs',
  'inputs',
  'when',
  'foreach',
  'retry',
  'timeout',
  'at_most_once',
  'on_error',
  'fallback',
  'hooks',
  'cache',
  'name',
  'description',
];
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

/** Completions at a place of a document; null for none. */
export function completeWith(
  context: CompletionContext,
  known: Known,
): Promise<CompletionResult | null> | CompletionResult | null {
  const text = context.state.doc.toString();
  const line = context.state.doc.lineAt(context.pos);
  const found = complete(text, line.text.slice(0, context.pos - line.from), known);
  return answered(context, found, known, () => nodeAt(text, line.number));
}

/** What was found, with the fields of the last run's value where that is what is wanted. */
export function answered(
  context: CompletionContext,
  found: Completed | null,
  known: Known,
  node: () => string | null,
): Promise<CompletionResult | null> | CompletionResult | null {
  if (found === null || (found.word === '' && !context.explicit && !found.eager)) return null;
  const result = (options: readonly Option[]): CompletionResult | null =>
    options.length === 0
      ? null
      : { from: context.pos - found.word.length, options: options.map(shown), validFor: /^[\w$-]*$/ };
  if (found.path === undefined || known.inLastRun === undefined) return result(found.options);
  return known.inLastRun(found.path, node()).then(
    (value) => result([...found.options, ...fieldsOf(value)]),
    () => result(found.options),
  );
}

function shown({ label, detail, quoted }: Option): Completion {
  return {
    label,
    type: label.endsWith('()') ? 'function' : 'variable',
    ...(detail && { detail }),
    ...(quoted && { apply: inBrackets }),
  };
}

/** Puts `["my-node"]` in the place of the dot and what follows it. */
function inBrackets(view: EditorView, { label }: Completion, from: number, to: number): void {
  const insert = `['${label}']`;
  view.dispatch({ changes: { from: from - 1, to, insert }, selection: { anchor: from - 1 + insert.length } });
}

/** The names that lead on from a value, each with what it is. */
export function fieldsOf(value: unknown): Option[] {
  if (Array.isArray(value)) return [{ label: 'length', detail: String(value.length) }];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value)
    .filter(([name]) => IDENTIFIER.test(name))
    .map(([label, one]) => ({ label, detail: inShort(one) }));
}

function inShort(value: unknown): string {
  if (Array.isArray(value)) return `list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'object';
  const text = JSON.stringify(value);
  return text.length > 24 ? `${text.slice(0, 23)}…` : text;
}

/** Completions behind the beginning of a line. */
export function complete(text: string, before: string, known: Known): Completed | null {
  const open = before.lastIndexOf('${');
  if (open >= 0 && !before.slice(open).includes('}'))
    return inExpression(text, before.slice(open + 2), known);
  const type = /\btype:\s*([\w.]*)$/.exec(before);
  if (type) {
    return {
      word: type[1] ?? '',
      eager: true,
      options: known.types.map(({ name, title }) => ({ label: name, detail: title })),
    };
  }
  const target =
    /\b(?:next|needs|start|default|error|true|false|approved|rejected|timeout):\s*\[?(?:[\w-]+,\s*)*([\w-]*)$/.exec(
      before,
    );
  if (target && /\b(next|needs|start)\b|^ {6,}/.test(before)) return names(target[1] ?? '', nodesOf(text));
  const field = /^ {4}(\w*)$/.exec(before);
  return field ? { word: field[1] ?? '', eager: false, options: FIELDS.map((label) => ({ label })) } : null;
}

/** Completions behind the beginning of an expression, or of a script. `more`: what else is in scope. */
export function inExpression(
  text: string,
  expression: string,
  known: Known,
  more: readonly Option[] = [],
): Completed | null {
  const found = /((?:[\w$]+|\])(?:\??\.[\w$]+|\[[^[\]]*\])*\??\.)?([\w$-]*)$/.exec(expression);
  const path = found?.[1]?.replace(/\??\.$/, '');
  const last = found?.[2] ?? '';
  // `nodes.my-node` may become one name, `1-input` are two.
  const word = path === 'nodes' ? last : last.replace(/^.*-/, '');
  if (path === undefined)
    return /['"`][^'"`]*$/.test(expression.replace(/(['"`])(?:(?!\1).)*\1/g, ''))
      ? null
      : { word, eager: true, options: [...more, ...ROOTS, ...HELPERS] };
  const [root = '', second, third] = path.split(/\??\.|\[/);
  if (second === undefined) return ofRoot(root, word, text, known, path);
  if (root === 'nodes' && third === undefined) return names(word, OF_NODE);
  const readable = root === 'nodes' ? third === 'output' : ['input', 'prev', 'item', 'ports'].includes(root);
  return readable ? { word, eager: true, options: [], path } : null;
}

function ofRoot(root: string, word: string, text: string, known: Known, path: string): Completed | null {
  switch (root) {
    case 'nodes': {
      const options = nodesOf(text).map((id) => ({ label: id, quoted: !IDENTIFIER.test(id) }));
      return { word, eager: true, options };
    }
    case 'input':
      return { ...names(word, known.inputs), ...(known.inputs.length === 0 && { path }) };
    case 'secrets':
      return names(word, known.secrets);
    case 'vars':
      return names(word, varsOf(text));
    case 'prev':
    case 'item':
    case 'ports':
      return { word, eager: true, options: [], path };
    default: {
      const members = MEMBERS[root];
      return members ? names(word, members) : null;
    }
  }
}

function names(word: string, labels: readonly string[]): Completed {
  return { word, eager: true, options: labels.map((label) => ({ label })) };
}
