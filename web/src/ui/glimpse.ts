/** One line that says what a value is like: its first fields, without reading more of it than is shown. */

const MOST = 60;
const TEXT = 24;

/** `{id: "A-17", score: 14, …}`, `[1, 2, 3, … 9,998]`. */
export function glimpse(value: unknown, room = MOST): string {
  if (typeof value === 'string') {
    return JSON.stringify(value.length > TEXT ? `${value.slice(0, TEXT)}…` : value);
  }
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? ofList(value, room) : ofFields(value as Record<string, unknown>, room);
}

function ofList(values: readonly unknown[], room: number): string {
  const parts: string[] = [];
  for (const value of values) {
    const part = glimpse(value, room / 2);
    if (part.length > room) break;
    room -= part.length + 2;
    parts.push(part);
  }
  const left = values.length - parts.length;
  if (left > 0)
    parts.push(parts.length > 0 ? `… ${left.toLocaleString('en')} more` : values.length.toLocaleString('en'));
  return `[${parts.join(', ')}]`;
}

function ofFields(fields: Record<string, unknown>, room: number): string {
  const parts: string[] = [];
  const names = Object.keys(fields);
  for (const name of names) {
    const part = `${name}: ${glimpse(fields[name], room / 2)}`;
    if (part.length > room) break;
    room -= part.length + 2;
    parts.push(part);
  }
  if (parts.length < names.length) parts.push(parts.length > 0 ? '…' : names.length.toLocaleString('en'));
  return `{${parts.join(', ')}}`;
}
