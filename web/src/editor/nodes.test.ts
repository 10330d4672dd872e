import { describe, expect, it } from 'vitest';

import {
  addNode,
  connect,
  disconnect,
  freeName,
  nextAction,
  placeNodes,
  relabel,
  removeNodes,
  renameNode,
  unplaceNodes,
} from '~/editor/nodes';
import { EMPTY_GRAPH, graphOf } from '~/graph/model';

const FLOW = `metadata: {name: x}
connections:
  - a.b -> c.port
nodes:
  a:
    type: http.request # first
    next: {default: [b, c], error: d}
  b: {type: log, next: d}
  c:
    type: log
    params: {message: "\${nodes.a.output} \${nodes['a'].status} \${nodes.ab}"}
  d:
    type: log
  e:
    type: log
    needs: [b, c]
`;

function edges(text: string): string[] {
  return (graphOf(text)?.edges ?? [])
    .map(({ from, to, label, kind }) => `${from}-${label || kind}-${to}`)
    .sort();
}

function edge(text: string, from: string, to: string, kind = 'next') {
  const found = graphOf(text)?.edges.find((one) => one.from === from && one.to === to && one.kind === kind);
  if (!found) throw new Error(`no edge ${from} ${to}`);
  return found;
}

describe('the canvas', () => {
  it('adds a node under a free name with the parameters of the example', () => {
    expect(freeName(FLOW, 'http.request')).toBe('request');
    expect(freeName('nodes: {log: {}, log_2: {}}', 'log')).toBe('log_3');
    const after = addNode(FLOW, 'say', 'log', 'nodes: {x: {type: log, params: {message: hi}}}', {
      x: 1.4,
      y: 2,
    });
    expect(after.slice(FLOW.length)).toBe(
      '  say:\n    type: log\n    params:\n      message: hi\n    ui:\n      x: 1\n      y: 2\n',
    );
  });

  it('connects and disconnects in the shortest form', () => {
    const one = connect(FLOW, 'd', 'b');
    expect(one).toContain('  d:\n    type: log\n    next: b\n');
    const two = connect(one, 'd', 'e', 'yes');
    expect(two).toContain('next: {default: b, yes: e}');
    expect(connect(two, 'd', 'e', 'yes')).toBe(two);
    const back = disconnect(disconnect(two, edge(two, 'd', 'e')), edge(two, 'd', 'b'));
    expect(back).toBe(FLOW);
  });

  it('takes edges of every kind out', () => {
    const error = disconnect(FLOW, edge(FLOW, 'a', 'd', 'error'));
    expect(error).toContain('next: [b, c]');
    const need = disconnect(FLOW, edge(FLOW, 'b', 'e', 'need'));
    expect(edges(need)).not.toContain('b-need-e');
    expect(edges(disconnect(FLOW, edge(FLOW, 'a', 'c', 'port')))).not.toContain('a-b → port-c');
  });

  it('takes a connection out, and leaves the others as they are written', () => {
    const text = 'connections:\n  # one\n  - a.x -> b.y\n  - {from_node: a, to_node: c, to_port: z} # two\n';
    const flow = `${text}nodes:\n  a: {type: log}\n  b: {type: log}\n  c: {type: log}\n`;
    expect(disconnect(flow, edge(flow, 'a', 'b', 'port'))).toBe(flow.replace('  - a.x -> b.y\n', ''));
    expect(disconnect(flow, edge(flow, 'a', 'c', 'port'))).toBe(flow.replace(/ {2}- .from.*two\n/, ''));
  });

  it('follows an edge along another action', () => {
    expect(edges(relabel(FLOW, edge(FLOW, 'b', 'd'), 'late'))).toContain('b-late-d');
  });

  it('removes a node with all that leads to it', () => {
    const after = removeNodes(FLOW, ['c']);
    expect(edges(after)).toEqual(['a-error-d', 'a-next-b', 'b-need-e', 'b-next-d']);
    expect(graphOf(after)?.nodes.map(({ id }) => id)).toEqual(['a', 'b', 'd', 'e']);
    expect(after).toContain('type: http.request # first');
  });

  it('renames a node wherever it is named', () => {
    const after = renameNode(FLOW, 'a', 'get');
    expect(after).toContain('  - get.b -> c.port');
    expect(after).toContain('${nodes.get.output} ${nodes.get.status} ${nodes.ab}');
    expect(edges(after)).toEqual(
      edges(FLOW)
        .map((one) => one.replace(/^a-/, 'get-'))
        .sort(),
    );
    expect(renameNode(FLOW, 'a', 'my-get')).toContain(`\${nodes['my-get'].output}`);
    expect(edges(renameNode(FLOW, 'b', 'bee'))).toContain('bee-need-e');
  });

  it.each([
    'connections: [a.x -> b.y, "b.x -> a.y", a -> b.z]\nnodes: {a: {}, b: {}}\n',
    'connections:\n- {from_node: a, to_node: b, to_port: x}\n- from_node: b\n  to_node: a\n  to_port: y\nnodes: {a: {}, b: {}}\n',
    'nodes:\n  a: {}\n  b: {}\nconnections:\n\n  - a.a -> b.a # a\n  - "b -> a.b"\n',
  ])('renames a node in connections, however they are written: %j', (text) => {
    const renamed = edges(renameNode(text, 'a', 'zz'));
    expect(renamed).toEqual(
      edges(text)
        .map((one) => one.replace(/^a-/, 'zz-').replace(/-a$/, '-zz'))
        .sort(),
    );
  });

  it.each(['1a', 'a b', 'd', ''])('takes no node for a name like %j', (name) => {
    expect(() => renameNode(FLOW, 'a', name)).toThrow();
  });

  it('keeps places, and forgets them again', () => {
    const placed = placeNodes(FLOW, new Map([['d', { x: 10.6, y: 5 }]]));
    expect(graphOf(placed)?.nodes.find(({ id }) => id === 'd')?.at).toEqual({ x: 11, y: 5 });
    expect(unplaceNodes(placed)).toBe(FLOW);
  });
});

describe('the action of a new line', () => {
  const known = ['true', 'false'];
  const graph = (next: string, waits = '') =>
    graphOf(`nodes: {a: {type: condition, next: ${next}}, b: {type: log}, c: {type: log${waits}}}`) ??
    EMPTY_GRAPH;

  it('is the first that nothing follows yet, where the type never gives the default', () => {
    expect(nextAction(graph('{}'), 'a', 'b', known)).toBe('true');
    expect(nextAction(graph('{true: b}'), 'a', 'c', known)).toBe('false');
    expect(nextAction(graph('{true: b, false: b}'), 'a', 'c', known)).toBe('true');
  });

  it('is the default of other types, and towards a node that waits', () => {
    expect(nextAction(graph('{}'), 'a', 'b', [])).toBe('default');
    expect(nextAction(graph('{}'), 'a', 'b', ['default', 'empty'])).toBe('default');
    expect(nextAction(graph('{}', ', needs: [b]'), 'a', 'c', known)).toBe('default');
  });
});
