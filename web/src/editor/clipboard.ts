/** Nodes on the clipboard: as YAML, like the part of a flow that they are. */
import { parse } from 'yaml';

import { addSource, getIn, removeIn, setIn, sourceOf } from '~/editor/edits';
import { addItem } from '~/editor/lists';
import { disconnect, NAME, renameNode } from '~/editor/nodes';
import { graphOf } from '~/graph/model';

const AWAY = 40;

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

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
function clipOf(text: string): string | null {
  if (!/^\s*nodes:/m.test(text)) return null;
  try {
    const found: unknown = parse(text, { logLevel: 'silent' });
    if (!isMapping(found) || !isMapping(found.nodes)) return null;
    const nodes = Object.entries(found.nodes);
    const fit = nodes.every(
      ([id, node]) => NAME.test(id) && isMapping(node) && typeof node.type === 'string',
    );
    return nodes.length > 0 && fit ? text : null;
  } catch {
    return null;
  }
}

/** Adds the nodes of `copied`, each under a name that is free. Null if there are none in it. */
export function pasteNodes(text: string, copied: string): { text: string; ids: string[] } | null {
  let clip = clipOf(copied);
  if (clip === null) return null;
  clip = pruned(clip);
  const there = graphOf(text)?.nodes ?? [];
  const taken = new Set(there.map(({ id }) => id));
  for (const { id } of graphOf(clip)?.nodes ?? []) {
    if (taken.has(id)) clip = renameNode(clip, id, freeOf(id, taken, clip));
  }
  clip = moved(
    clip,
    there.some(({ at }) => at !== null),
  );
  const ids = (graphOf(clip)?.nodes ?? []).map(({ id }) => id);
  let after = text;
  for (const id of ids) after = addSource(after, ['nodes'], sourceOf(clip, ['nodes', id]) ?? '');
  const fresh = getIn(clip, ['connections']);
  if (Array.isArray(fresh) && fresh.length > 0) {
    for (const one of fresh) after = addItem(after, ['connections'], one);
  }
  return { text: after, ids };
}

/** `fetch_2` for a second `fetch`, `fetch_3` for a second `fetch_2`. */
function freeOf(id: string, taken: ReadonlySet<string>, clip: string): string {
  const used = new Set([...taken, ...(graphOf(clip)?.nodes ?? []).map((node) => node.id)]);
  const [, base = id, number = '1'] = /^(.*?)_(\d{1,4})$/.exec(id) ?? [];
  for (let next = Number(number) + 1; ; next += 1) {
    const name = `${base.slice(0, 58)}_${next}`;
    if (!used.has(name)) return name;
  }
}

/** Beside where they were; or wherever the layout puts them, if it puts all others. */
function moved(clip: string, placed: boolean): string {
  let after = clip;
  for (const { id, at } of graphOf(clip)?.nodes ?? []) {
    if (at === null) continue;
    if (placed) {
      after = setIn(after, ['nodes', id, 'ui', 'x'], at.x + AWAY);
      after = setIn(after, ['nodes', id, 'ui', 'y'], at.y + AWAY);
    } else after = removeIn(after, ['nodes', id, 'ui']);
  }
  return after;
}

/** Without what leads to nodes that are not among them, or waits for those. */
function pruned(clip: string): string {
  const parsed: unknown = parse(clip, { logLevel: 'silent' });
  const nodes = isMapping(parsed) && isMapping(parsed.nodes) ? parsed.nodes : {};
  let after = clip;
  for (const [id, node] of Object.entries(nodes)) {
    if (!isMapping(node)) continue;
    for (const [action, to] of targetsOf(node.next).filter(([, one]) => !(one in nodes))) {
      const kind = action === 'error' ? 'error' : 'next';
      after = disconnect(after, { id: '', from: id, to, label: action === 'default' ? '' : action, kind });
    }
    const needs = textsOf(isMapping(node.needs) ? node.needs.nodes : node.needs);
    for (const from of needs.filter((one) => !(one in nodes)))
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
    const [, from = '', to = ''] =
      typeof one === 'string'
        ? (/^\s*([\w-]+).*->\s*([\w-]+)\./.exec(one) ?? [])
        : isMapping(one)
          ? [null, String(one.from_node), String(one.to_node)]
          : [];
    return ids.has(from) && ids.has(to);
  });
}
