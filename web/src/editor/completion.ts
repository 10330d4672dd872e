/** What can be written where: expressions complete what they may read, `type:` the node types, edges the nodes. */
import type { CompletionContext, CompletionResult } from '@codemirror/autocomplete';

import { graphOf } from '~/graph/model';

export interface Known {
  /** Names of node types, with their titles. */
  types: readonly { name: string; title: string }[];
  secrets: readonly string[];
  /** Names of the input's properties. */
  inputs: readonly string[];
}

const ROOTS = [
  'input',
  'nodes',
  'prev',
  'vars',
  'ports',
  'item',
  'index',
  'error',
  'secrets',
  'run',
  'flow',
  'account',
];
const HELPERS = ['now()', 'uuid()', 'base64', 'hash.sha256()', 'hmac.sha256()', 'jsonpath()', 'duration()'];
const OF_NODE = ['output', 'status', 'error', 'action', 'attempts'];
const OF_RUN = ['id', 'started_at', 'attempt', 'idempotency_key'];
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

/** Completions at a place of a document; null for none. */
export function completeWith(context: CompletionContext, known: Known): CompletionResult | null {
  const text = context.state.doc.toString();
  const line = context.state.doc.lineAt(context.pos);
  const found = complete(text, line.text.slice(0, context.pos - line.from), known);
  if (found === null || (found.word === '' && !context.explicit && !found.eager)) return null;
  return {
    from: context.pos - found.word.length,
    options: found.options.map(({ label, detail }) => ({
      label,
      type: 'variable',
      ...(detail && { detail }),
    })),
    validFor: /^[\w-]*$/,
  };
}

interface Completed {
  word: string;
  /** Shown as soon as one gets there. */
  eager: boolean;
  options: readonly { label: string; detail?: string }[];
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

function inExpression(text: string, expression: string, known: Known): Completed | null {
  const path = /([\w$]+(?:\.[\w-]+)*\.)?([\w-]*)$/.exec(expression);
  const word = path?.[2] ?? '';
  const parents = path?.[1]?.slice(0, -1).split('.') ?? [];
  const [root, second] = parents;
  if (root === undefined) return names(word, [...ROOTS, ...HELPERS]);
  if (parents.length === 1) {
    switch (root) {
      case 'nodes':
        return names(word, nodesOf(text));
      case 'input':
        return names(word, known.inputs);
      case 'secrets':
        return names(word, known.secrets);
      case 'run':
        return names(word, OF_RUN);
      default:
        return null;
    }
  }
  return root === 'nodes' && parents.length === 2 && second ? names(word, OF_NODE) : null;
}

function nodesOf(text: string): string[] {
  // A line that is being written may break the document: what stands at a node's column will do then.
  const graph = graphOf(text);
  if (graph) return graph.nodes.map(({ id }) => id);
  const [, nodes = ''] = text.split(/^nodes:/m);
  return [...nodes.matchAll(/^ {2}([A-Za-z_][\w-]*):/gm)].map(([, id]) => id ?? '');
}

function names(word: string, labels: readonly string[]): Completed {
  return { word, eager: true, options: labels.map((label) => ({ label })) };
}
