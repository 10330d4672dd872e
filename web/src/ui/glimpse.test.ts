import { describe, expect, it } from 'vitest';

import { glimpse } from '~/ui/glimpse';

describe('a glimpse of a value', () => {
  it.each([
    [{ id: 'A-17', score: 14 }, '{id: "A-17", score: 14}'],
    [[1, 2, 3], '[1, 2, 3]'],
    [{ list: [1, 2], of: { a: null } }, '{list: [1, 2], of: {a: null}}'],
    [
      Array.from({ length: 9_998 }, (_, n) => n),
      '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, … 9,980 more]',
    ],
    [['x'.repeat(500)], '["xxxxxxxxxxxxxxxxxxxxxxxx…"]'],
    [{ ['k'.repeat(500)]: 1, other: 2 }, '{2}'],
  ])('of one like case %#', (value, shown) => {
    expect(glimpse(value)).toBe(shown);
  });

  it('stays short however deep and wide the value is', () => {
    let deep: unknown = { text: 'y'.repeat(1_000) };
    for (let level = 0; level < 200; level += 1) deep = { level, deep, list: [deep, deep] };
    expect(glimpse(deep).length).toBeLessThan(100);
  });
});
