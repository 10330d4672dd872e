import { describe, expect, it } from 'vitest';

import { base64Of, sizeText } from '~/lib/files';

describe('base64Of', () => {
  it.each([0, 1, 2, 3, 32_768, 100_001])('gives back all of %i bytes', async (size) => {
    const bytes = Uint8Array.from({ length: size }, (_, index) => (index * 31) % 256);
    const text = await base64Of(new Blob([bytes]));
    expect(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))).toEqual(bytes);
  });
});

describe('sizeText', () => {
  it.each([
    [0, '0 B'],
    [1_023, '1023 B'],
    [1_024, '1 KiB'],
    [1_536, '1.5 KiB'],
    [51_200, '50 KiB'],
    [3_145_728, '3 MiB'],
  ])('%i bytes are %s', (bytes, words) => {
    expect(sizeText(bytes)).toBe(words);
  });
});
