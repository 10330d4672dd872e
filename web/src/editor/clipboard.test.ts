import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { copyNodes, pasteNodes } from '~/editor/clipboard';
import { connect, placeNodes } from '~/editor/nodes';
import { graphOf } from '~/graph/model';

const FLOW = `metadata: {name: one}
connections:
  - a.items -> c.value # kept
nodes:
  # fetches
  a:
    type: http.request # quickly
    params: {url: "https://example.com"}
    next: {default: [b, d], error: d}

  b: {type: log, params: {message: "\${nodes.a.output}"}, next: d}
  c: {type: log, params: {message: "\${nodes['a'].output}"}}
  d:
    type: script
    needs: [a, c]
    hooks:
      exec: |
        // a comment
        return nodes.a.output;
`;
const OTHER = 'metadata: {name: two}\nnodes:\n  x: {type: log}\n';

function edges(text: string): string[] {
  return (graphOf(text)?.edges ?? []).map(({ from, to, kind }) => `${from}-${kind}-${to}`).sort();
}

describe('copying nodes', () => {
  it('takes them as they are written, with what is between them', () => {
    expect(copyNodes(FLOW, ['b', 'a'])).toBe(`nodes:
  # fetches
  a:
    type: http.request # quickly
    params: {url: "https://example.com"}
    next: b
  b: {type: log, params: {message: "\${nodes.a.output}"}}
`);
    expect(edges(copyNodes(FLOW, ['a', 'c', 'd']))).toEqual([
      'a-error-d',
      'a-need-d',
      'a-next-d',
      'a-port-c',
      'c-need-d',
    ]);
  });

  it('takes them out of a flow in one line', () => {
    expect(copyNodes('nodes: {a: {type: log, next: b}, b: {type: log}}', ['a'])).toBe(
      'nodes:\n  a: {type: log}\n',
    );
  });
});

describe('pasting nodes', () => {
  it('gives them free names wherever they are named, and leaves all other lines alone', () => {
    const pasted = pasteNodes(FLOW, copyNodes(FLOW, ['a', 'b']));
    expect(pasted?.ids).toEqual(['a_2', 'b_2']);
    expect(pasted?.text.startsWith(FLOW)).toBe(true);
    expect(pasted?.text.slice(FLOW.length)).toBe(`  # fetches
  a_2:
    type: http.request # quickly
    params: {url: "https://example.com"}
    next: b_2
  b_2: {type: log, params: {message: "\${nodes.a_2.output}"}}
`);
    expect(pasteNodes(pasted?.text ?? '', copyNodes(FLOW, ['a']))?.ids).toEqual(['a_3']);
  });

  it('puts them into another flow, with scripts and connections', () => {
    const pasted = pasteNodes(OTHER, copyNodes(FLOW, ['a', 'c', 'd']));
    expect(pasted?.text).toContain('        // a comment\n        return nodes.a.output;\n');
    expect(edges(pasted?.text ?? '')).toEqual(['a-error-d', 'a-need-d', 'a-next-d', 'a-port-c', 'c-need-d']);
  });

  it('puts them into a flow that has none, or has them in one line', () => {
    expect(pasteNodes('metadata: {name: x}\n', 'nodes:\n  a: {type: log}\n')?.text).toContain('nodes:');
    expect(
      graphOf(pasteNodes('nodes: {a: {type: log}}', 'nodes:\n  a: {type: log}\n')?.text ?? '')?.nodes,
    ).toHaveLength(2);
  });

  it('stands them beside where they were, where nodes have places', () => {
    const placed = placeNodes(OTHER, new Map([['x', { x: 10, y: 20 }]]));
    const pasted = pasteNodes(placed, copyNodes(placed, ['x']));
    expect(graphOf(pasted?.text ?? '')?.nodes.map(({ at }) => at)).toEqual([
      { x: 10, y: 20 },
      { x: 50, y: 60 },
    ]);
    expect(pasteNodes(OTHER, copyNodes(placed, ['x']))?.text).not.toContain('ui');
  });

  it.each(['', 'hello', 'nodes: 3', 'nodes: {}', 'nodes: {a: 1}', 'nodes: {a b: {type: log}}', 'nodes: ['])(
    'finds none in %j',
    (text) => {
      expect(pasteNodes(FLOW, text)).toBeNull();
    },
  );

  it('adds what was copied, whatever that is, and changes no line', () => {
    fc.assert(
      fc.property(fc.subarray(['a', 'b', 'c', 'd'], { minLength: 1 }), (some) => {
        const pasted = pasteNodes(FLOW, copyNodes(FLOW, some));
        const text = pasted?.text ?? '';
        expect(graphOf(text)?.nodes).toHaveLength(4 + some.length);
        const lines = text.split('\n');
        for (const line of FLOW.split('\n')) expect(lines).toContain(line);
        expect(edges(text).filter((one) => one.includes('_2') !== /_2.*_2/.test(one))).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });
});

describe('connecting to a join', () => {
  it('lets it wait for one more', () => {
    expect(connect(FLOW, 'b', 'd')).toContain('    needs: [a, c, b]\n');
    expect(connect(FLOW, 'c', 'd')).toBe(FLOW);
    const mode =
      'nodes:\n  a: {type: log}\n  b: {type: log, needs: {nodes: [c], mode: any}}\n  c: {type: log}\n';
    expect(connect(mode, 'a', 'b')).toContain('needs: {nodes: [c, a], mode: any}');
    expect(connect(mode, 'a', 'b', 'error')).toContain('a: {type: log, next: {error: b}}');
  });
});
