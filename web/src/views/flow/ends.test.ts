import { expect, it } from 'vitest';

import { withEndsOf, withPlainEnds } from '~/views/flow/ends';

it('gives a document back with the line ends that it came with', () => {
  const windows = 'a: 1\r\nb: 2\r\n';
  expect(withPlainEnds(windows)).toBe('a: 1\nb: 2\n');
  expect(withEndsOf(windows, withPlainEnds(windows))).toBe(windows);
  expect(withEndsOf('a: 1\n', 'a: 2\n')).toBe('a: 2\n');
  expect(withEndsOf('a: 1\r\nb: 2\n', 'a: 1\nb: 3\n')).toBe('a: 1\nb: 3\n');
});
