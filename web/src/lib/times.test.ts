import { describe, expect, it } from 'vitest';

import { ago, duration, fromLocal, toLocal } from '~/lib/times';

describe('ago', () => {
  const now = new Date('2026-11-21T12:00:00Z');
  it.each([
    ['2026-11-21T11:59:58Z', '2 seconds ago'],
    ['2026-11-21T11:57:00Z', '3 minutes ago'],
    ['2026-11-20T12:00:00Z', 'yesterday'],
    ['2026-11-23T12:00:00Z', 'in 2 days'],
    ['2026-11-21T12:00:00Z', 'now'],
  ])('%s is %s', (moment, words) => {
    expect(ago(moment, now)).toBe(words);
  });
});

describe('duration', () => {
  it.each([
    [-5, '0 ms'],
    [12, '12 ms'],
    [3_400, '3.4 s'],
    [34_499, '34 s'],
    [60_000, '1 min'],
    [125_000, '2 min 5 s'],
    [4_800_000, '1 h 20 min'],
    [90_000_000, '1 d 1 h'],
  ])('%i ms are %s', (ms, words) => {
    expect(duration(ms)).toBe(words);
  });
});

describe('local moments', () => {
  it.each(['2026-01-31T09:00:00.000Z', '2026-07-31T23:59:30.000Z'])(
    '%s comes back from a field',
    (moment) => {
      expect(fromLocal(toLocal(moment))).toBe(moment);
    },
  );

  it('are written as the reader sees them', () => {
    const at = new Date(2026, 6, 31, 9, 5, 0);
    expect(toLocal(at.toISOString())).toBe('2026-07-31T09:05:00');
  });
});
