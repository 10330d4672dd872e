import { describe, expect, it } from 'vitest';

import { telling } from '~/run/choice';
import { NO_STORY, type Attempt, type Story } from '~/run/story';

function story(...steps: [step: string, status: string, attempt?: number][]): Story {
  const attempts = new Map<string, Attempt>();
  for (const [step, status, attempt = 1] of steps) {
    const key = `${step}:${attempt}`;
    attempts.set(key, {
      ...{ key, step, node: step.replace(/\[.*/, ''), attempt, status, scheduledAt: 0, startedAt: 0 },
      ...{ waitingAt: null, endedAt: null, retryAt: null, action: null, error: null },
    });
  }
  return { ...NO_STORY, attempts };
}

const error = { code: 'STEP_FAILED', message: 'no', node: 'b' };

describe('the step that one has come for', () => {
  it.each([
    ['the last try of what failed the run', { status: 'failed', error } as const, 'b:2'],
    ['what waits for an answer', { status: 'waiting', error: null } as const, 'c:1'],
    ['none, when all is well', { status: 'completed', error: null } as const, undefined],
    ['none, when it was cancelled', { status: 'cancelled', error } as const, undefined],
  ])('is %s', (_what, run, key) => {
    const told = story(
      ['a', 'succeeded'],
      ['b', 'failed'],
      ['b', 'failed', 2],
      ['c', 'waiting'],
      ['d', 'failed'],
    );
    expect(telling(told, run)?.key).toBe(key);
  });

  it('is none before it has come', () => {
    expect(telling(NO_STORY, { status: 'failed', error })).toBeNull();
  });
});
