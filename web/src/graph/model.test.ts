import { describe, expect, it } from 'vitest';

import { graphOf } from '~/graph/model';

const FLOW = `
connections:
  - a.items[0] -> d.text
  - {from_node: b, to_node: d, to_port: other}
  - nonsense
nodes:
  a: {type: http.request, next: {default: [b, c], error: e}}
  b: {type: log, name: Bee, next: missing}
  c: {type: condition, next: {true: e}}
  d: {type: script, ui: {x: 10, y: 20}}
  e: {type: log, needs: {nodes: [b], mode: any}, foreach: {items: []}}
`;

describe('graphOf', () => {
  const graph = graphOf(FLOW);

  it('finds every edge with its kind and action, and none to what is not there', () => {
    expect(graph?.edges.map(({ from, to, label, kind }) => [from, to, label, kind])).toEqual([
      ['a', 'b', '', 'next'],
      ['a', 'c', '', 'next'],
      ['a', 'e', 'error', 'error'],
      ['c', 'e', 'true', 'next'],
      ['b', 'e', '', 'need'],
      ['a', 'd', 'items[0] → text', 'port'],
      ['b', 'd', 'other', 'port'],
    ]);
  });

  it('knows joins, names, items, places and starts', () => {
    const [a, b, , d, e] = graph?.nodes ?? [];
    expect(a).toMatchObject({ isStart: true, joinMode: null });
    expect(b).toMatchObject({ name: 'Bee', isStart: false });
    expect(d).toMatchObject({ at: { x: 10, y: 20 } });
    expect(e).toMatchObject({ joinMode: 'any', needs: ['b'], foreach: true });
  });

  it('takes the first node of a circle as the start, unless the author says otherwise', () => {
    const circle = 'nodes: {a: {next: b}, b: {next: a}}';
    expect(graphOf(circle)?.nodes.map(({ isStart }) => isStart)).toEqual([true, false]);
    expect(graphOf(`start: b\n${circle}`)?.nodes.map(({ isStart }) => isStart)).toEqual([false, true]);
  });

  it.each(['', '3', 'nodes: 3', 'nodes: {a: 3}'])('draws nothing wrong from %j', (text) => {
    expect(graphOf(text)?.edges).toEqual([]);
  });

  it('draws nothing from what is no YAML', () => {
    expect(graphOf('a: [')).toBeNull();
  });
});
