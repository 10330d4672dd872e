import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { changeAll, getIn, removeIn, renameKey, setIn } from '~/editor/edits';

const FLOW = `# About the flow.
metadata:
  name: "x"   # its name

nodes:
  # Asks.
  fetch:
    type: http.request
    params: {url: "\${input.url}"}   # where
    timeout: 10s
    next: {default: show, error: sorry}

  show:
    type: script
    hooks:
      exec: |
        // a script
        return 1;
  sorry: {type: log, params: {message: 'no'}}
`;

/** The lines that two texts do not have in common, by the longest run of equal lines at both ends. */
function changedLines(before: string, after: string): [string[], string[]] {
  const [one, other] = [before.split('\n'), after.split('\n')];
  let head = 0;
  while (head < one.length && head < other.length && one[head] === other[head]) head += 1;
  let tail = 0;
  while (tail < one.length - head && tail < other.length - head && one.at(-1 - tail) === other.at(-1 - tail))
    tail += 1;
  return [one.slice(head, one.length - tail), other.slice(head, other.length - tail)];
}

describe('setIn', () => {
  it.each<[string, string[], unknown, string[], string[]]>([
    ['a scalar', ['nodes', 'fetch', 'timeout'], '20s', ['    timeout: 10s'], ['    timeout: 20s']],
    [
      'inside a flow mapping',
      ['nodes', 'fetch', 'next', 'default'],
      ['show', 'sorry'],
      ['    next: {default: show, error: sorry}'],
      ['    next: {default: [show, sorry], error: sorry}'],
    ],
    ['beside a comment', ['metadata', 'name'], 'y', ['  name: "x"   # its name'], ['  name: y   # its name']],
    ['a new field', ['nodes', 'fetch', 'name'], 'Ask', [], ['    name: Ask']],
    ['a new field after a block scalar', ['nodes', 'show', 'next'], 'sorry', [], ['    next: sorry']],
    [
      'a new node',
      ['nodes', 'more'],
      { type: 'log', params: { message: 'm' } },
      [],
      ['  more:', '    type: log', '    params:', '      message: m'],
    ],
    ['a new section', ['timeout'], '1h', [], ['timeout: 1h']],
    [
      'a text of several lines',
      ['nodes', 'show', 'hooks', 'exec'],
      'return 2;\nreturn 3;\n',
      ['        // a script', '        return 1;'],
      ['        return 2;', '        return 3;'],
    ],
    [
      'a flow node',
      ['nodes', 'sorry', 'type'],
      'script',
      ["  sorry: {type: log, params: {message: 'no'}}"],
      ["  sorry: {type: script, params: {message: 'no'}}"],
    ],
  ])('changes %s and no other line', (_what, path, value, gone, come) => {
    const after = setIn(FLOW, path, value);
    expect(changedLines(FLOW, after)).toEqual([gone, come]);
    expect(getIn(after, path)).toEqual(value);
  });

  it('says where a broken document is broken', () => {
    expect(() => setIn('a: [', ['b'], 1)).toThrow(/^Line 1/);
  });
});

describe('removeIn', () => {
  it('takes a node with the comment above it', () => {
    const after = removeIn(FLOW, ['nodes', 'fetch']);
    expect(after).not.toContain('# Asks.');
    expect(after).toContain('# About the flow.');
    expect(Object.keys((parse(after) as { nodes: object }).nodes)).toEqual(['show', 'sorry']);
  });

  it('takes a field out of a flow mapping', () => {
    const after = removeIn(FLOW, ['nodes', 'fetch', 'next', 'error']);
    expect(changedLines(FLOW, after)[1]).toEqual(['    next: {default: show}']);
  });

  it('leaves an empty mapping', () => {
    expect(parse(removeIn('nodes:\n  a: {type: log}\n', ['nodes', 'a']))).toEqual({ nodes: {} });
  });

  it('does nothing to what is not there', () => {
    expect(removeIn(FLOW, ['nodes', 'nope'])).toBe(FLOW);
  });
});

it('renames a key where it stands', () => {
  expect(changedLines(FLOW, renameKey(FLOW, ['nodes', 'show'], 'tell'))).toEqual([['  show:'], ['  tell:']]);
});

const name = fc.stringMatching(/^[a-z][a-z0-9_]{0,6}$/);
const leaf = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom('a: b', '# c', '- d', 'x\ny\n', '${a}'),
);
const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(leaf, { maxLength: 3 }),
    fc.dictionary(name, tie('value'), { maxKeys: 3 }),
  ),
})).value;

function applied(before: unknown, path: readonly string[], wanted: unknown): unknown {
  const top = structuredClone(before) as Record<string, unknown>;
  let at = top;
  for (const key of path.slice(0, -1)) {
    const inner = at[key];
    at = (
      typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : (at[key] = {})
    ) as typeof top;
  }
  at[path.at(-1) ?? ''] = wanted;
  return top;
}

it('means what it should, whatever is set anywhere, time after time, and keeps comments elsewhere', () => {
  const path = fc.tuple(
    fc.constantFrom('fetch', 'show', 'sorry', 'more'),
    fc.constantFrom('params', 'hooks', 'next', 'name'),
    name,
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(path, fc.integer({ min: 2, max: 3 }), value), { minLength: 1, maxLength: 5 }),
      (edits) => {
        let text = FLOW;
        for (const [keys, depth, wanted] of edits) {
          const at = ['nodes', ...keys.slice(0, depth)];
          const after = setIn(text, at, wanted);
          expect(parse(after)).toEqual(applied(parse(text), at, wanted));
          text = after;
        }
        expect(text).toContain('# About the flow.');
        expect(text).toContain('name: "x"   # its name');
      },
    ),
    { numRuns: 150 },
  );
}, 30_000);

describe('a document of JSON', () => {
  const JSON_FLOW = '{\n  "nodes": {\n    "a": {\n      "type": "log"\n    }\n  }\n}\n';

  it('stays one, and keeps its lines', () => {
    const after = setIn(JSON_FLOW, ['nodes', 'b'], { type: 'log' });
    expect(JSON.parse(after)).toEqual({ nodes: { a: { type: 'log' }, b: { type: 'log' } } });
    expect(after.split('\n')).toEqual(expect.arrayContaining(JSON_FLOW.split('\n').slice(0, 4)));
    expect(removeIn(after, ['nodes', 'b'])).toBe(JSON_FLOW);
    const line = '{"nodes": {"a": {"type": "log"}}}';
    expect(setIn(line, ['nodes', 'a', 'next'], 'x')).toBe('{"nodes": {"a": {"type": "log", "next": "x"}}}');
  });
});

describe('what stands beside', () => {
  it('keeps comments in a mapping in braces, and the quotes of its other values', () => {
    const text = 'a: {\n  b: "1", # one\n  c: \'2\' # two\n}\n';
    expect(setIn(text, ['a', 'd'], 3)).toBe('a: {\n  b: "1", # one\n  c: \'2\', # two\n  d: 3\n}\n');
    expect(removeIn(text, ['a', 'c'])).toBe('a: {\n  b: "1", # one\n}\n');
  });

  it('keeps comments and blank lines around the last pair that is taken out', () => {
    expect(removeIn('nodes: # all\n  # about\n\n  a: 1\nend: 2\n', ['nodes', 'a'])).toBe(
      'nodes: {} # all\n  # about\n\nend: 2\n',
    );
  });

  it('refuses what would mean something else, and says where', () => {
    expect(() => setIn('a: &x 1\nb: *x\n', ['a'], 2)).toThrow('a is written in a way');
  });
});

it('changes a thousand places at once, each line by itself', () => {
  const nodes = Array.from({ length: 1_000 }, (_one, index) => `  n${index}: {type: log} # ${index}\n`);
  const text = `nodes:\n${nodes.join('')}`;
  const at = (index: number) => ['nodes', `n${index}`, 'ui'];
  const placed = changeAll(
    text,
    nodes.map((_one, index) => [at(index), { x: index, y: 0 }]),
  );
  expect(getIn(placed, at(999))).toEqual({ x: 999, y: 0 });
  expect(placed).toContain('  n7: {type: log, ui: {x: 7, y: 0}} # 7\n');
  expect(
    changeAll(
      placed,
      nodes.map((_one, index) => [at(index), undefined]),
    ),
  ).toBe(text);
}, 60_000);
