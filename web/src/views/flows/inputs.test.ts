import { describe, expect, it } from 'vitest';

import { inputSchemaOf, readInput } from '~/views/flows/inputs';

const FLOW = `
inputs:
  type: object
  required: [name, count]
  properties:
    name: {type: string, title: Who}
    count: {type: integer, default: 3}
    loud: {type: boolean, default: true}
    size: {enum: [small, 2]}
    extra: {type: array}
nodes: {}
`;

describe('inputSchemaOf', () => {
  it('finds what a flow asks for', () => {
    const found = inputSchemaOf(FLOW) ?? [];
    expect(
      found.map(({ name, title, kind, required, initial }) => [name, title, kind, required, initial]),
    ).toEqual([
      ['name', 'Who', 'text', true, ''],
      ['count', 'count', 'integer', true, '3'],
      ['loud', 'loud', 'boolean', false, true],
      ['size', 'size', 'choice', false, ''],
      ['extra', 'extra', 'json', false, ''],
    ]);
  });

  it.each(['nodes: {}', 'inputs: 3', ': : :', 'inputs: {type: array}'])(
    'does not know what %s asks for',
    (text) => {
      expect(inputSchemaOf(text)).toBeNull();
    },
  );
});

describe('readInput', () => {
  const properties = inputSchemaOf(FLOW) ?? [];

  it('reads each by its kind and leaves out what is empty', () => {
    const texts = { name: '', count: '4', loud: false, size: '"small"', extra: '' };
    expect(readInput(properties, texts)).toEqual({
      ok: true,
      value: { name: '', count: 4, loud: false, size: 'small' },
    });
  });

  it.each([
    [{ name: 'a', count: '' }, 'count is needed.'],
    [{ name: 'a', count: 'x' }, 'count is no number.'],
    [{ name: 'a', count: '1', extra: '[' }, /^extra is not valid JSON/],
  ])('says what is wrong with %o', (texts, problem) => {
    const read = readInput(properties, texts);
    expect(read.ok).toBe(false);
    if (!read.ok) expect(read.problem).toMatch(problem);
  });
});
