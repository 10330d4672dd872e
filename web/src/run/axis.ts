/** The marks on a timeline: some round moments between its beginning and its end. */
import { duration } from '~/lib/times';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** What people count in, beyond a second; below it and beyond a day, 1, 2 and 5 times a power of ten. */
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
];

const MOST = 6;

export interface Mark {
  /** Of the whole, from 0 to 1. */
  at: number;
  label: string;
}

/** At most `most` marks after the beginning of a span of so many ms. */
export function marks(span: number, most = MOST): Mark[] {
  if (span <= 0) return [];
  const step = STEPS.find((one) => span / one <= most) ?? daysFor(span / DAY, most) * DAY;
  const count = Math.floor(span / step);
  return Array.from({ length: count }, (_, index) => ({
    at: ((index + 1) * step) / span,
    label: duration((index + 1) * step),
  }));
}

function daysFor(days: number, most: number): number {
  for (let power = 1; ; power *= 10) {
    const found = [1, 2, 5].find((n) => days / (n * power) <= most);
    if (found !== undefined) return found * power;
  }
}
