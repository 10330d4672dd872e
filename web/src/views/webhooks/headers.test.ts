import { describe, expect, it } from 'vitest';

import { headersText, readHeaders, readNodes } from '~/views/webhooks/headers';

describe('headers of a webhook', () => {
  it('are read back as they were written', () => {
    const headers = { 'X-Team': 'orders', 'X-Url': 'https://example.com:8080/a?b=c' };
    expect(readHeaders(headersText(headers))).toEqual(headers);
  });

  it('may have blank lines and spaces around them', () => {
    expect(readHeaders('\n  X-Team :  a b  \n\n')).toEqual({ 'X-Team': 'a b' });
  });

  it.each(['orders', ': orders', 'X Team: orders'])('are not %j', (text) => {
    expect(() => readHeaders(text)).toThrow(text.trim());
  });
});

describe('nodes of a webhook', () => {
  it('are told apart by commas, spaces and lines', () => {
    expect(readNodes(' a, b\nc,,a ')).toEqual(['a', 'b', 'c']);
  });
});
