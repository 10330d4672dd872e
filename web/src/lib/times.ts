/** Moments and durations as people read them. */

const UNITS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
];

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

/** `3 minutes ago`, `in 2 days`. */
export function ago(moment: string | Date, now: Date = new Date()): string {
  const distance = new Date(moment).getTime() - now.getTime();
  const [unit, size] = UNITS.find(([, ms]) => Math.abs(distance) >= ms) ?? (['second', 1_000] as const);
  return relative.format(Math.round(distance / size), unit);
}

/** A moment to the second, in the reader's time zone. */
export function exactly(moment: string | Date): string {
  return exact.format(new Date(moment));
}

/** `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 20 min`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(ms < 10_000 ? 1 : 0))} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return joined(minutes, 'min', Math.floor((ms % 60_000) / 1_000), 's');
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return joined(hours, 'h', minutes % 60, 'min');
  return joined(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function joined(large: number, unit: string, small: number, smaller: string): string {
  return small ? `${large} ${unit} ${small} ${smaller}` : `${large} ${unit}`;
}

/** A moment as a field of the type `datetime-local` wants it: in the reader's time zone, to the second. */
export function toLocal(moment: string): string {
  const at = new Date(moment);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** What such a field says, as a moment in UTC. */
export function fromLocal(text: string): string {
  return new Date(text).toISOString();
}
