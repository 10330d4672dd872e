/** Fields that every node has, as docs/flow-language.md describes them. */
import { field, type FormField, type Group } from '~/editor/schema';

export const COMMON: readonly FormField[] = [
  field('when', 'Only when', 'An expression; if it is false the node is skipped.', 'text'),
  field('timeout', 'Timeout', 'Of one attempt: 20s, 5m.', 'text'),
  field('on_error', 'When it fails', 'For good, and no error edge leads on.', 'choice', {
    choices: ['fail', 'continue'],
    initial: 'fail',
  }),
  field('fallback', 'Fallback', 'The output when every attempt failed.', 'yaml'),
];

export const GROUPS: readonly Group[] = [
  {
    name: 'retry',
    title: 'Retry',
    hint: 'Tries again after a failure that may pass.',
    fields: [
      field('max_attempts', 'Attempts', 'The first one included.', 'number', { initial: 1 }),
      field('delay', 'Delay', 'Before the second attempt: 500ms, 20s, 5m.', 'text', { initial: '1s' }),
      field('backoff', 'Backoff', 'Each further wait is this many times longer.', 'number', { initial: 2 }),
      field('max_delay', 'Longest delay', 'No wait is longer.', 'text', { initial: '5m' }),
      field('jitter', 'Jitter', 'full: a random share of the wait.', 'choice', {
        choices: ['none', 'full'],
        initial: 'full',
      }),
      field('on', 'On', 'Error codes, like [HTTP_503]; left out: all that may pass.', 'yaml'),
    ],
  },
  {
    name: 'foreach',
    title: 'For each',
    hint: 'Executes the node once for each item of a list; its output is the list of outputs.',
    fields: [
      field('items', 'Items', 'A list, or an expression that gives one.', 'yaml'),
      field('as', 'As', "The item's name in expressions and hooks.", 'text', { initial: 'item' }),
      field('max_concurrency', 'At once', 'Items at once; 1 is one after the other.', 'number', {
        initial: 10,
      }),
      field('tolerate_failures', 'Tolerated failures', 'How many items may fail: 3, or 5%.', 'number', {
        initial: 0,
      }),
    ],
  },
  {
    name: 'cache',
    title: 'Cache',
    hint: 'Takes the output of an earlier execution with the same key.',
    fields: [
      field('key', 'Key', 'Usually an expression.', 'yaml'),
      field('ttl', 'Kept for', '20s, 5m, 2h, 1d.', 'text'),
    ],
  },
];
