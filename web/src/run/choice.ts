/** Which step of a run is looked at. It stands in the address: a reload, and who gets the link, see the same. */
import { useMemo, useState } from 'react';

import { isLive, type Run } from '~/api/runs';
import type { Attempt, Story } from '~/run/story';

export interface Choice {
  node: string | null;
  selected: Attempt | null;
  chooseNode: (node: string | null) => void;
  chooseAttempt: (attempt: Attempt) => void;
}

interface Chosen {
  run: Run;
  /** All that has happened, and what of it is shown. */
  whole: Story;
  story: Story;
  /** What the address says: a node, or one attempt as `step:attempt`. */
  step: string | undefined;
  say: (step?: string) => void;
}

export function useChoice({ run, whole, story, step, say }: Chosen): Choice {
  const [none, setNone] = useState(false);
  const suggested = useMemo(() => (none ? null : telling(whole, run)), [whole, run, none]);
  const key = step ?? suggested?.key;
  const found = key === undefined ? undefined : story.attempts.get(key);
  const node = found?.node ?? whole.attempts.get(key ?? '')?.node ?? key?.replace(/[[.:].*$/s, '') ?? null;
  const latest = useMemo(() => (found === undefined ? latestOf(story, node) : null), [story, node, found]);
  return {
    node,
    selected: found ?? latest,
    chooseNode: (next) => {
      setNone(next === null);
      say(next ?? undefined);
    },
    chooseAttempt: (attempt) => say(attempt.key),
  };
}

/** The step that one has come for: the one that failed the run, or that waits for an answer. */
export function telling(story: Story, run: Pick<Run, 'status' | 'error'>): Attempt | null {
  const all = [...story.attempts.values()];
  if (run.status === 'failed') {
    const node = run.error?.node;
    return all.findLast((one) => one.node === node && one.status === 'failed') ?? null;
  }
  if (!isLive(run.status)) return null;
  return all.find((one) => one.status === 'waiting') ?? null;
}

/** What a node came to: the whole of a foreach rather than its last item. */
function latestOf(story: Story, node: string | null): Attempt | null {
  if (node === null) return null;
  const own = [...story.attempts.values()].filter((one) => one.node === node);
  return own.findLast((one) => !one.step.includes('[')) ?? own.at(-1) ?? null;
}
