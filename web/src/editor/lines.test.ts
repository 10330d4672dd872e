/** Whatever is changed in whatever document: it means what it should, and no line changes that need not. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';

import { document, Draw, someFlow, type Mapping } from '~/editor/anyDocument.fixture';
import { copyNodes, pasteNodes } from '~/editor/clipboard';
import { getIn, setIn } from '~/editor/edits';
import { lost, mayChange } from '~/editor/lines.fixture';
import {
  addNode,
  connect,
  disconnect,
  placeNodes,
  relabel,
  removeNodes,
  renameNode,
  unplaceNodes,
  wait,
} from '~/editor/nodes';
import { graphOf } from '~/graph/model';

function applied(before: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const top =
    typeof before === 'object' && before !== null && !Array.isArray(before) ? (before as Mapping) : {};
  const inner =
    rest.length > 0 && value === undefined && !(key in top) ? undefined : applied(top[key], rest, value);
  const after = { ...top, [key]: inner };
  return inner === undefined
    ? Object.fromEntries(Object.entries(top).filter(([name]) => name !== key))
    : after;
}

/** The same documents each time; others with `VITE_SEED=7 npx vitest run src/editor/lines.test.ts`, more with `VITE_PLAYS`. */
function plays(count: number) {
  const { VITE_SEED: seed = '6', VITE_PLAYS: times = '1' } = import.meta.env as Record<
    string,
    string | undefined
  >;
  return { numRuns: count * Number(times), seed: Number(seed), endOnFailure: true };
}

it('sets and removes anything anywhere, and changes only the lines of that', () => {
  fc.assert(
    fc.property(fc.gen(), (g) => {
      const draw = new Draw(g);
      const value = someFlow(draw);
      let text = document(draw, value);
      fc.pre(sameValue(text, value));
      for (let step = 0; step < 3; step += 1) {
        const path = somePath(draw, parse(text) as Mapping);
        const wanted = draw.one(3) ? undefined : draw.value();
        const after = told(`${path.join('.')}: ${JSON.stringify(wanted)}\n${text}`, () =>
          setIn(text, path, wanted),
        );
        expect(parse(after), text).toEqual(meant(parse(text), path, wanted));
        expect(
          lost(text, after, mayChange(text, path)),
          `${path.join('.')}\n${text}\n=====\n${after}`,
        ).toBeNull();
        text = after;
      }
    }),
    plays(80),
  );
}, 600_000);

/** What went wrong with which document. */
function told<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new Error(what, { cause: error });
  }
}

function sameValue(text: string, value: unknown): boolean {
  try {
    expect(parse(text)).toEqual(value);
    return true;
  } catch {
    return false;
  }
}

function meant(before: unknown, path: readonly string[], wanted: unknown): unknown {
  return wanted === undefined && getIn(stringify(before), path) === undefined
    ? before
    : applied(before, path, wanted);
}

function somePath(draw: Draw, flow: Mapping): string[] {
  const path: string[] = [];
  let at: unknown = flow;
  for (let depth = 0; depth < 5; depth += 1) {
    const keys = typeof at === 'object' && at !== null && !Array.isArray(at) ? Object.keys(at) : [];
    const key = keys.length > 0 && !draw.one(5) ? draw.of(...keys) : draw.of('k', 'new', 'a b', 'no');
    path.push(key);
    at = (at as Mapping | null)?.[key];
    if (draw.one(3)) break;
  }
  return path;
}

/** What can be done on the canvas: its name, and what becomes of the text. */
function someEdit(draw: Draw, text: string): readonly [string, string[], () => string] {
  const graph = graphOf(text);
  const ids = graph?.nodes.map(({ id }) => id) ?? [];
  const [one, other] = [draw.of(...ids), draw.of(...ids)];
  const edge = graph?.edges[draw.upTo(graph.edges.length)];
  const some = ids.filter(() => draw.one(2)).concat(one);
  const at = new Map(some.map((id) => [id, { x: draw.of(0, 10.4, -3), y: 7 }] as const));
  const edges = edge ? [edge.from, edge.to] : [];
  const edits: [string, string[], () => string][] = [
    ['connect', [one, other], () => connect(text, one, other, draw.of('default', 'error', 'late'))],
    ['wait', [other], () => wait(text, one, other)],
    ['disconnect', edges, () => (edge ? disconnect(text, edge) : text)],
    ['relabel', edges, () => (edge?.kind === 'next' ? relabel(text, edge, 'on x') : text)],
    ['remove', ids, () => removeNodes(text, [...new Set(some)])],
    ['rename', ids, () => renameNode(text, one, draw.of('fresh', 'my-fresh') + String(text.length))],
    ['place', some, () => placeNodes(text, at)],
    ['unplace', ids, () => unplaceNodes(text)],
    [
      'add',
      [],
      () => addNode(text, 'added', 'log', 'x: {type: log, params: {message: "a: b"}}', { x: 1, y: 2 }),
    ],
    ['paste', [], () => pasteNodes(text, copyNodes(text, [...new Set(some)]))?.text ?? ''],
  ];
  return draw.of(...edits);
}

/** The lines of some nodes, and of all that names nodes elsewhere. */
function linesOfNodes(text: string, ids: readonly string[]): Set<number> {
  const top = ['connections', 'start'].filter((key) => getIn(text, [key]) !== undefined).map((key) => [key]);
  const paths = [...top, ...ids.map((id) => ['nodes', id])];
  const all = Object.keys(getIn(text, ['nodes']) as object).length === ids.length ? [['nodes']] : [];
  return new Set(
    [...paths, ...all, ['nodes', 'added'], ['connections']].flatMap((path) => [...mayChange(text, path)]),
  );
}

function edgesOf(text: string): string[] {
  return (graphOf(text)?.edges ?? [])
    .map(({ from, to, kind, label }) => `${from} ${kind} ${label} ${to}`)
    .sort();
}

it('does on the canvas what it should, whatever is done in whatever order, and changes no line of other nodes', () => {
  fc.assert(
    fc.property(fc.gen(), (g) => {
      const draw = new Draw(g);
      const value = someFlow(draw);
      let text = document(draw, value);
      fc.pre(sameValue(text, value));
      for (let step = 0; step < 4 && (graphOf(text)?.nodes.length ?? 0) > 0; step += 1) {
        const [name, ids, edit] = someEdit(draw, text);
        const after = told(`${name} ${ids.join(' ')}\n${text}`, edit);
        const said = `${name} ${ids.join(' ')}\n${text}\n=====\n${after}`;
        expect(lost(text, after, linesOfNodes(text, ids)), said).toBeNull();
        expect(graphOf(after), said).not.toBeNull();
        const kept = edgesOf(text).filter((one) => edgesOf(after).includes(one)).length;
        // Several ports between two nodes are one line.
        const ports = edgesOf(text).filter(
          (one) => one.startsWith(`${ids[0] ?? ''} port`) && one.endsWith(` ${ids[1] ?? ''}`),
        );
        const most = { remove: 1e9, rename: 1e9, disconnect: 1 + ports.length, relabel: 1 }[name] ?? 0;
        expect(kept, said).toBeGreaterThanOrEqual(edgesOf(text).length - most);
        text = after;
      }
    }),
    plays(50),
  );
}, 600_000);
