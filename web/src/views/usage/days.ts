/** The days of a report, and how many of them make one bar. */

const DAY_MS = 86_400_000;
const MOST_BARS = 92;

export interface Bar {
  name: string;
  value: number;
}

/** The last days up to now, in UTC, also those on which nothing ran. */
export function lastDays(count: number, now: number): string[] {
  return Array.from({ length: count }, (_, index) =>
    new Date(now - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10),
  );
}

/** A bar for each day; where these are too many, for each seven that end with the last day. */
export function barsOf(days: readonly string[], values: ReadonlyMap<string, number>): Bar[] {
  const size = days.length > MOST_BARS ? 7 : 1;
  const bars: Bar[] = [];
  for (let end = days.length; end > 0; end -= size) {
    const part = days.slice(Math.max(0, end - size), end);
    const [first = '', last = ''] = [part[0], part.at(-1)];
    bars.unshift({
      name: first === last ? first : `${first} to ${last}`,
      value: part.reduce((sum, day) => sum + (values.get(day) ?? 0), 0),
    });
  }
  return bars;
}
