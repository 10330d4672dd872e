import { describe, expect, it } from 'vitest';

import { marks } from '~/run/axis';

describe('the marks of a timeline', () => {
  it.each([
    [0, []],
    [105, ['20 ms', '40 ms', '60 ms', '80 ms', '100 ms']],
    [4_200, ['1 s', '2 s', '3 s', '4 s']],
    [97_000, ['30 s', '1 min', '1 min 30 s']],
    [9_000_000, ['30 min', '1 h', '1 h 30 min', '2 h', '2 h 30 min']],
    [40 * 86_400_000, ['10 d', '20 d', '30 d', '40 d']],
  ])('of %i ms are round', (span, labels) => {
    expect(marks(span).map(({ label }) => label)).toEqual(labels);
  });

  it('lie within it, in order, and are few whatever it is', () => {
    for (let span = 1; span < 1e12; span = Math.ceil(span * 1.37)) {
      const places = marks(span).map(({ at }) => at);
      expect(places.length).toBeLessThanOrEqual(6);
      expect(places.every((at, index) => at > (places[index - 1] ?? 0) && at <= 1)).toBe(true);
    }
  });
});
