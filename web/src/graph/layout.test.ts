import { expect, it } from 'vitest';

import { places } from '~/graph/layout';
import { graphOf } from '~/graph/model';

function placed(text: string) {
  const graph = graphOf(text);
  if (graph === null) throw new Error('no YAML');
  return places(graph);
}

it('lays out from left to right, anew only where nodes or edges come or go', () => {
  const text = 'nodes:\n  a: {type: log, next: b}\n  b: {type: log}\n';
  const first = placed(text);
  expect(first.get('a')?.x).toBeLessThan(first.get('b')?.x ?? 0);
  expect(placed(`${text}# more`)).toEqual(first);
  const other = placed(text.replace('next: b', 'name: x'));
  expect(other.get('a')?.x).toBe(other.get('b')?.x);
  expect(placed(`${text}  c: {type: log}\n`).size).toBe(3);
});

it('leaves nodes where they were put', () => {
  const some = placed('nodes:\n  a: {ui: {x: 5, y: 6}}\n  b: {}\n');
  expect(some.get('a')).toEqual({ x: 5, y: 6 });
  expect(some.has('b')).toBe(true);
  expect(placed('nodes: {a: {ui: {x: 5, y: 6}}}').get('a')).toEqual({ x: 5, y: 6 });
});
