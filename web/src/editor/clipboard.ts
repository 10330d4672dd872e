/** Nodes on the clipboard: as YAML, like the part of a flow that they are. */
import { isMapping, parsed } from '~/editor/documents';
import { addSource, changeAll, getIn, setIn, sourceOf, type Change } from '~/editor/edits';
import { addItem } from '~/editor/lists';
import { renamed } from '~/editor/names';
import { disconnect, endsOf, NAME } from '~/editor/nodes';
import { graphOf } from '~/graph/model';

const AWAY = 40;

/** The nodes with the edges between them, as they are written. */
export function copyNodes(text: string, ids: readonly string[]): string {
  const order = (graphOf(text)?.nodes ?? []).map(({ id }) => id).filter((id) => ids.includes(id));
  const sources = order.flatMap((id) => sourceOf(text, ['nodes', id]) ?? []);
  const nodes = sources.join('\n').replace(/^(?=.)/gm, '  ');
  const connections = connectionsBetween(text, new Set(order));
  const clip = `nodes:\n${nodes}\n`;
  return pruned(connections.length > 0 ? setIn(clip, ['connections'], connections) : clip);
}

/** The nodes of a text that came from the clipboard; null if it has none. */
function clipOf(copied: string): string | null {
  const text = copied.replaceAll('\r\n', '\n');
  if (!/^\s*["']?nodes["']?:|^\s*\{/m.test(text)) return null;
  const found = parsed(text).value;
  if (!isMapping(found) || !isMapping(found.nodes)) return null;
  const nodes = Object.entries(found.nodes);
  const fit = nodes.every(([id, node]) => NAME.test(id) && isMapping(node) && typeof node.type === 'string');
  return nodes.length > 0 && fit ? text : null;
}

/** Adds the nodes of `copied`, each under a name that is free. Null if there are none in it. */
export function pasteNodes(text: string, copied: string): { text: string; ids: string[] } | null {
  let clip = clipOf(copied);
  if (clip === null) return null;
  clip = pruned(clip);
  const there = graphOf(text)?.nodes ?? [];
  const taken = new Set(there.map(({ id }) => id));
  const names = new Map<string, string>();
  const copies = (graphOf(clip)?.nodes ?? []).map(({ id }) => id);
  const used = new Set([...taken, ...copies]);
  for (const id of copies.filter((one) => taken.has(one))) {
    const name = freeOf(id, used);
    names.set(id, name);
    used.add(name);
  }
  clip = renamed(clip, names);
  clip = moved(
    clip,
    there.some(({ at }) => at !== null),
  );
  const ids = (graphOf(clip)?.nodes ?? []).map(({ id }) => id);
  const sources = ids.flatMap((id) => sourceOf(clip, ['nodes', id]) ?? []);
  let after = addSource(text, ['nodes'], sources.join('\n'));
  const fresh = getIn(clip, ['connections']);
  if (Array.isArray(fresh) && fresh.length > 0) {
    for (const one of fresh) after = addItem(after, ['connections'], one);
  }
  return { text: after, ids };
}

/** `fetch_2` for a second `fetch`, `fetch_3` for a second `fetch_2`. */
function freeOf(id: string, used: ReadonlySet<string>): string {
  const [, base = id, number = '1'] = /^(.*?)_(\d{1,4})$/.exec(id) ?? [];
  for (let next = Number(number) + 1; ; next += 1) {
    const name = `${base.slice(0, 58)}_${next}`;
    if (!used.has(name)) return name;
  }
}

/** Beside where they were; or wherever the layout puts them, if it puts all others. */
function moved(clip: string, placed: boolean): string {
  const changes = (graphOf(clip)?.nodes ?? []).flatMap(({ id, at }): Change[] => {
    if (at === null) return [];
    if (!placed) return [[['nodes', id, 'ui'], undefined]];
    return [
      [['nodes', id, 'ui', 'x'], at.x + AWAY],
      [['nodes', id, 'ui', 'y'], at.y + AWAY],
    ];
  });
  return changeAll(clip, changes);
}

/** Without what leads to nodes that are not among them, or waits for those. */
function pruned(clip: string): string {
  const found = getIn(clip, ['nodes']);
  const nodes = isMapping(found) ? found : {};
  let after = clip;
  for (const [id, node] of Object.entries(nodes)) {
    if (!isMapping(node)) continue;
    for (const [action, to] of targetsOf(node.next).filter(([, one]) => !Object.hasOwn(nodes, one))) {
      const kind = action === 'error' ? 'error' : 'next';
      after = disconnect(after, { id: '', from: id, to, label: action === 'default' ? '' : action, kind });
    }
    const needs = textsOf(isMapping(node.needs) ? node.needs.nodes : node.needs);
    for (const from of needs.filter((one) => !Object.hasOwn(nodes, one)))
      after = disconnect(after, { id: '', from, to: id, label: '', kind: 'need' });
  }
  return after;
}

function targetsOf(next: unknown): [string, string][] {
  const byAction = isMapping(next) ? Object.entries(next) : [['default', next] as const];
  return byAction.flatMap(([action, to]) => textsOf(to).map((one): [string, string] => [action, one]));
}

function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

function connectionsBetween(text: string, ids: ReadonlySet<string>): unknown[] {
  const all = getIn(text, ['connections']);
  if (!Array.isArray(all)) return [];
  return all.filter((one: unknown) => {
    const ends = endsOf(one);
    return ends.length === 2 && ends.every((end) => ids.has(end));
  });
}
