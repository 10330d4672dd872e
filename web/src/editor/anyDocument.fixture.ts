/** Any document of a flow, as somebody may have written it: for tests of what is done to it. */
import fc, { type GeneratorValue } from 'fast-check';
import { stringify } from 'yaml';

export type Mapping = Record<string, unknown>;

const IDS = ['a', 'b', 'fetch-it', 'on', 'a2'];
const TEXTS = [
  '',
  'x',
  'a: b',
  '# c',
  '- d',
  'x\ny\n',
  'x\n\n  y',
  'end\n\n',
  '${nodes.a.output}',
  'no',
  '1',
  ' s ',
  "it's",
]
  .concat([
    '"',
    '\\',
    'ä→🙂',
    '{',
    'a, b',
    '[',
    '\t',
    'l'.repeat(120),
    'words '.repeat(30),
    '${nodes["fetch-it"].output}',
  ])
  .concat(['nodes.a.output', 'see a', '*x', '&y', '!t', '@', '%', '---']);

/** Draws for one document and what is done to it. */
export class Draw {
  constructor(private readonly g: GeneratorValue) {}
  of<T>(...some: T[]): T {
    return some[this.g(fc.nat, { max: some.length - 1 })] as T;
  }
  one(outOf: number): boolean {
    return this.g(fc.nat, { max: outOf - 1 }) === 1;
  }
  upTo(count: number): number {
    return count === 0 ? 0 : this.g(fc.nat, { max: count - 1 });
  }
  text(): string {
    return this.one(5) ? this.g(fc.string, { unit: 'grapheme', maxLength: 12 }) : this.of(...TEXTS);
  }
  value(depth = 0): unknown {
    const kind = this.g(fc.nat, { max: depth > 2 ? 4 : 7 });
    if (kind < 2) return this.text();
    if (kind < 5) return this.of<unknown>(null, true, 0, -1.5, 1e21);
    if (kind === 5) return this.several(() => this.value(depth + 1));
    return Object.fromEntries(
      this.several(() => [this.of('k', 'on', 'a b', 'ü', ''), this.value(depth + 1)]),
    );
  }
  several<T>(make: () => T): T[] {
    return Array.from({ length: this.g(fc.nat, { max: 3 }) }, make);
  }
}

export function someFlow(draw: Draw): Mapping {
  const ids = IDS.filter(() => draw.one(2)).concat('z');
  const names = () => (draw.one(2) ? draw.of(...ids) : ids.filter(() => draw.one(2)));
  const node = (id: string): [string, unknown] => [
    id,
    {
      type: draw.of('log', 'http.request'),
      ...(draw.one(2) && { params: { message: draw.text(), more: draw.value() } }),
      ...(draw.one(2) && {
        next: draw.one(2)
          ? names()
          : { default: names(), ...(draw.one(2) && { error: names() }), late: names() },
      }),
      ...(draw.one(3) && { needs: draw.one(2) ? { nodes: names(), mode: 'any' } : names() }),
      ...(draw.one(3) && { ui: { x: 1, y: 2 } }),
      ...(draw.one(3) && { hooks: { exec: 'return nodes.a.output\n' } }),
    },
  ];
  const connection = () =>
    draw.one(2)
      ? `${draw.of(...ids)}.body -> ${draw.of(...ids)}.text`
      : { from_node: draw.of(...ids), to_node: draw.of(...ids), to_port: 'x' };
  return {
    ...(draw.one(2) && { metadata: { name: draw.of('x', 'no') } }),
    ...(draw.one(3) && { connections: draw.several(connection) }),
    ...(draw.one(4) && { start: names() }),
    nodes: Object.fromEntries(ids.map(node)),
    ...(draw.one(3) && { outputs: draw.value() }),
  };
}

/** A document that says `value`, as somebody may have written it. */
export function document(draw: Draw, value: unknown): string {
  const style = draw.one(6) ? 'json' : 'yaml';
  if (style === 'json') return JSON.stringify(value, null, draw.of(0, 2, 4));
  const step = draw.of(2, 2, 4);
  const head = draw.of('', '', '# head\n\n', '---\n', '\n');
  const body = block(draw, value, 0, step);
  const end = draw.of('\n', '\n', '\n\n', '\n# end\n', '');
  return `${head}${body.replace(/^\n/, '')}${end}`;
}

function comment(draw: Draw): string {
  return draw.one(5) ? draw.of('  # why', ' # 1: 2', ' # ${x}') : '';
}

function between(draw: Draw, column: number): string {
  return draw.one(6)
    ? draw.of('\n', `${' '.repeat(column)}# on it\n`, `\n${' '.repeat(column)}# apart\n\n`, '# left\n')
    : '';
}

function scalar(draw: Draw, value: unknown, within: 'flow' | 'block'): string {
  if (typeof value !== 'string') return value === null ? draw.of('null', '~') : stringify(value).trimEnd();
  const plain = stringify([value], {
    lineWidth: 0,
    ...(within === 'flow' && { collectionStyle: 'flow' }),
  }).trimEnd();
  const bare = within === 'flow' ? plain.slice(1, -1).trim() : plain.slice(2);
  const single = `'${value.replaceAll("'", "''")}'`;
  const fits = /^[\x20-\x7e]*$/.test(value);
  return draw.of(
    JSON.stringify(value),
    fits ? single : JSON.stringify(value),
    bare.includes('\n') ? JSON.stringify(value) : bare,
  );
}

function flow(draw: Draw, value: unknown, lines: string): string {
  if (typeof value !== 'object' || value === null) return scalar(draw, value, 'flow');
  const items = Array.isArray(value)
    ? value.map((one) => flow(draw, one, lines))
    : Object.entries(value).map(([key, one]) => `${scalar(draw, key, 'flow')}: ${flow(draw, one, lines)}`);
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{', '}'];
  if (items.length === 0) return `${open}${close}`;
  const trailing = draw.one(4) ? ',' : '';
  if (lines === '' || draw.one(2)) return `${open}${items.join(draw.of(', ', ' , '))}${trailing}${close}`;
  const more = items.map(
    (item, index) => `${lines}${item}${index < items.length - 1 ? ',' : trailing}${comment(draw)}`,
  );
  return `${open}${more.join('')}${lines}${close}`;
}

function block(draw: Draw, value: unknown, column: number, step: number): string {
  const indent = ' '.repeat(column);
  if (typeof value === 'string' && value.includes('\n') && /^[\x21-\x7e]/.test(value) && draw.one(2)) {
    const lines = value.replace(/\n+$/, '').split('\n');
    const chomp = value.endsWith('\n\n') ? '+' : value.endsWith('\n') ? '' : '-';
    const more = /\n\n+$/.exec(value)?.[0].slice(2) ?? '';
    return ` |${chomp}\n${lines.map((line) => (line === '' ? '' : indent + line)).join('\n')}${chomp === '+' ? `\n${more}` : ''}`;
  }
  const empty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  if (typeof value !== 'object' || value === null) return ` ${scalar(draw, value, 'block')}${comment(draw)}`;
  if (empty || (column > 0 && draw.one(3))) {
    const lines = draw.one(2) ? `\n${indent}  ` : '';
    return ` ${flow(draw, value, lines)}${comment(draw)}`;
  }
  const behind = column > 0 ? comment(draw) : '';
  if (Array.isArray(value)) {
    const items = value.map(
      (one) => `${between(draw, column)}${indent}-${block(draw, one, column + step, step)}`,
    );
    return `${behind}\n${items.join('\n')}`;
  }
  const pairs = Object.entries(value as Mapping).map(
    ([key, one]) =>
      `${between(draw, column)}${indent}${scalar(draw, key, 'flow')}:${block(draw, one, column + step, step)}`,
  );
  return `${behind}\n${pairs.join('\n')}`;
}
