/** Files that somebody has chosen. */

/** A file's content as base64. */
export async function base64Of(file: Blob): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = '';
  // In portions: so many arguments at once are too many for a call.
  for (let from = 0; from < bytes.length; from += 32_768) {
    text += String.fromCharCode(...bytes.subarray(from, from + 32_768));
  }
  return btoa(text);
}

/** `50 B`, `12 KiB`, `3.4 MiB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1_024) return `${String(bytes)} B`;
  const [value, unit] = bytes < 1_048_576 ? [bytes / 1_024, 'KiB'] : [bytes / 1_048_576, 'MiB'];
  return `${String(Number(value.toFixed(value < 10 ? 1 : 0)))} ${unit}`;
}
