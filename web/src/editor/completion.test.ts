import { expect, it } from 'vitest';

import { scriptAt } from '~/editor/CodeEditor';
import { complete, fieldsOf } from '~/editor/completion';
import { nodeAt } from '~/editor/mentions';
import { linesOf } from '~/run/lines';
import { hasExpression } from '~/editor/preview';

const KNOWN = { types: [{ name: 'http.request', title: 'HTTP' }], secrets: ['KEY'], inputs: ['name'] };
const FLOW = 'nodes:\n  fetch: {type: log}\n  show: {type: log}\n';

it.each([
  ['    params: {x: "${', ['input', 'nodes']],
  ['    params: {x: "${inp', ['input']],
  ['    x: ${input.', ['name']],
  ['    x: ${nodes.', ['fetch', 'show']],
  ['    x: ${1 + nodes.fetch.', ['output', 'status']],
  ['    x: ${secrets.K', ['KEY']],
  ['    x: ${1-inp', ['input']],
  ['    x: ${run.', ['id', 'attempt']],
  ['    x: ${hash.', ['sha256()']],
  ['    type: ht', ['http.request']],
  ['  a: {type: ', ['http.request']],
  ['    next: ', ['fetch', 'show']],
  ['    next: {default: [fetch, s', ['fetch', 'show']],
  ['    ret', ['retry']],
])('completes %j', (before, some) => {
  const labels = complete(FLOW, before, KNOWN)?.options.map(({ label }) => label) ?? [];
  expect(labels).toEqual(expect.arrayContaining(some));
});

it.each(['# text', 'metadata: {name: ', '    x: ${a} b', '    x: ${"input'])(
  'has nothing to add to %j',
  (before) => {
    expect(complete(FLOW, before, KNOWN)).toBeNull();
  },
);

it('knows nodes of a document that is broken', () => {
  expect(complete(`${FLOW}  more: {next: [`, '  more: {next: [', KNOWN)?.options).toHaveLength(3);
});

it.each([
  ['    x: ${nodes.fetch.output.', 'nodes.fetch.output'],
  ['    x: ${nodes["fetch"].output.items[0].na', 'nodes["fetch"].output.items[0]'],
  ['    x: ${1 + prev?.user.', 'prev?.user'],
  ['    x: ${item.', 'item'],
  ['    x: ${input.name.', 'input.name'],
  ['    x: ${nodes.fetch.status.', undefined],
  ['    x: ${run.id.', undefined],
])('asks the last run behind %j', (before, path) => {
  expect(complete(FLOW, before, KNOWN)?.path).toBe(path);
});

it('names the fields of a value with what they are', () => {
  expect(fieldsOf({ a: 1, 'b-c': 2, d: [1, 2], e: { f: 1 }, g: 'x'.repeat(50) })).toEqual([
    { label: 'a', detail: '1' },
    { label: 'd', detail: 'list of 2' },
    { label: 'e', detail: 'object' },
    { label: 'g', detail: `"${'x'.repeat(22)}…` },
  ]);
  expect(fieldsOf([1, 2])).toEqual([{ label: 'length', detail: '2' }]);
  expect(fieldsOf('text')).toEqual([]);
});

it.each([
  ['const x = ', 'prep', ['context', 'input', 'log()', 'emit()', 'JSON', 'uuid()']],
  ['return pa', 'exec', ['params']],
  ['if (out', 'post', ['output', 'error']],
  ['const n = nodes.', 'exec', ['fetch', 'show']],
  ['return JSON.', 'exec', ['parse()', 'stringify()']],
  ['vars.', 'post', ['seen']],
] as const)('completes the script %j in %s', (before, hook, some) => {
  const labels = scriptAt(before, hook, `${FLOW}# vars.seen`, KNOWN)?.options.map(({ label }) => label) ?? [];
  expect(labels).toEqual(expect.arrayContaining([...some]));
});

it('knows where nodes are in a document', () => {
  expect([1, 2, 3].map((line) => nodeAt(FLOW, line))).toEqual([null, 'fetch', 'show']);
  expect(nodeAt(`${FLOW}outputs:\n  a: 1\n`, 5)).toBe('a');
  expect(linesOf(FLOW).get('show')).toBe(3);
  expect(linesOf(FLOW.replace(/^ {2}/gm, '     ')).get('show')).toBe(3);
  expect(linesOf(FLOW).get('none')).toBeUndefined();
});

it.each([
  ['${a}', true],
  ['x ${a} y', true],
  [{ a: ['${a}'] }, true],
  ['$${a}', false],
  ['${', false],
  [3, false],
])('sees whether %j has an expression', (value, expected) => {
  expect(hasExpression(value)).toBe(expected);
});
