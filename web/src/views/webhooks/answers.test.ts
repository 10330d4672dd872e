import { describe, expect, it } from 'vitest';

import { unescaped } from '~/views/webhooks/answers';

describe('an answer', () => {
  it.each([
    ['&lt;h1 class=&quot;a&quot;&gt;it&#x27;s closed&lt;/h1&gt;', '<h1 class="a">it\'s closed</h1>'],
    ['&amp;lt; stays what was written', '&lt; stays what was written'],
    ['nothing to do & no more', 'nothing to do & no more'],
  ])('%s is read', (answer, text) => {
    expect(unescaped(answer)).toBe(text);
  });
});
