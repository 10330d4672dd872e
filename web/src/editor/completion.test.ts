import { expect, it } from 'vitest';

import { complete } from '~/editor/completion';

const KNOWN = { types: [{ name: 'http.request', title: 'HTTP' }], secrets: ['KEY'], inputs: ['name'] };
const FLOW = 'nodes:\n  fetch: {type: log}\n  show: {type: log}\n';

it.each([
  ['    params: {x: "${', ['input', 'nodes']],
  ['    params: {x: "${inp', ['input']],
  ['    x: ${input.', ['name']],
  ['    x: ${nodes.', ['fetch', 'show']],
  ['    x: ${1 + nodes.fetch.', ['output', 'status']],
  ['    x: ${secrets.K', ['KEY']],
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
