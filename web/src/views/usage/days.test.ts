import { describe, expect, it } from 'vitest';

import { barsOf, lastDays } from '~/views/usage/days';

const now = Date.parse('2026-03-02T00:00:01Z');

describe('lastDays', () => {
  it('ends with today in UTC, and knows the lengths of months', () => {
    expect(lastDays(3, now)).toEqual(['2026-02-28', '2026-03-01', '2026-03-02']);
  });
});

describe('barsOf', () => {
  it('has a bar for each day, also for one without a value', () => {
    expect(barsOf(['a', 'b'], new Map([['b', 2]]))).toEqual([
      { name: 'a', value: 0 },
      { name: 'b', value: 2 },
    ]);
  });

  it.each([93, 365])('loses nothing when %i days become weeks', (count) => {
    const days = lastDays(count, now);
    const bars = barsOf(days, new Map(days.map((day) => [day, 1])));
    expect(bars.reduce((sum, bar) => sum + bar.value, 0)).toBe(count);
    expect(bars.at(-1)).toEqual({ name: '2026-02-24 to 2026-03-02', value: 7 });
    expect(bars.length).toBe(Math.ceil(count / 7));
  });
});
