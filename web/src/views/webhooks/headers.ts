/** Headers and node names as people write them into a field. */

export function headersText(headers: Readonly<Record<string, string>>): string {
  return Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n');
}

/** The headers of a text with one on each line. Raises for a line that is none. */
export function readHeaders(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const [, name, value] = /^\s*([A-Za-z0-9-]{1,64})\s*:\s*(.*?)\s*$/.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw new Error(`This is no header: ${line.trim()}. Write it as in X-Team: orders.`);
    headers[name] = value;
  }
  return headers;
}

/** Names with commas or spaces between them. */
export function readNodes(text: string): string[] {
  return [...new Set(text.split(/[\s,]+/).filter(Boolean))];
}
