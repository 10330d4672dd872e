import { afterEach, describe, expect, it, vi } from 'vitest';

import { copyText } from '~/lib/clipboard';

const secure = Object.getOwnPropertyDescriptor(navigator, 'clipboard');

function clipboard(value: unknown) {
  Object.defineProperty(navigator, 'clipboard', { value, configurable: true });
}

describe('copyText', () => {
  afterEach(() => {
    if (secure) Object.defineProperty(navigator, 'clipboard', secure);
    else Reflect.deleteProperty(navigator, 'clipboard');
    Reflect.deleteProperty(document, 'execCommand');
  });

  it('asks the browser where it may', async () => {
    const writeText = vi.fn(() => Promise.resolve());
    clipboard({ writeText });
    await copyText('a token');
    expect(writeText).toHaveBeenCalledWith('a token');
  });

  it('selects the text and copies it without HTTPS, and leaves nothing behind', async () => {
    clipboard(undefined);
    let copied = '';
    const execCommand = () => {
      copied = document.querySelector('textarea')?.value ?? '';
      return true;
    };
    Object.assign(document, { execCommand });
    await copyText('a token');
    expect(copied).toBe('a token');
    expect(document.querySelector('textarea')).toBeNull();
  });

  it('says so when nothing may be copied', async () => {
    clipboard(undefined);
    Object.assign(document, { execCommand: () => false });
    await expect(copyText('a token')).rejects.toThrow('does not let');
    expect(document.querySelector('textarea')).toBeNull();
  });
});
