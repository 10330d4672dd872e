/** What each attempt waited for: since when it could have begun, and which attempt let it. */
import type { FlowGraph } from '~/graph/model';
import type { Attempt, Story } from '~/run/story';

export interface Cause {
  /** When nothing but a free worker was missing. */
  readyAt: number;
  /** The attempt on whose end it hung; null for the run's beginning. */
  before: Attempt | null;
}

type Ended = Attempt & { endedAt: number };

/** Clocks of two machines may differ by so much. */
const SLACK_MS = 5;

/** The causes of a run's attempts, by their keys. */
export function causesOf(graph: FlowGraph, story: Story): ReadonlyMap<string, Cause> {
  const ended = endedByNode(story);
  const predecessors = new Map<string, string[]>();
  for (const { from, to } of graph.edges) predecessors.set(to, [...(predecessors.get(to) ?? []), from]);
  const causes = new Map<string, Cause>();
  for (const attempt of story.attempts.values()) {
    const begun = attempt.startedAt ?? attempt.scheduledAt;
    const former = story.attempts.get(`${attempt.step}:${attempt.attempt - 1}`);
    if (former !== undefined) {
      // A redrive is nothing that the step waited for.
      causes.set(attempt.key, { readyAt: Math.min(former.retryAt ?? begun, begun), before: former });
      continue;
    }
    const item = attempt.step.includes('[');
    const own = ended.get(attempt.node)?.items ?? [];
    if (!item && own.length > 0) {
      // A foreach ends with the last of its items.
      causes.set(attempt.key, { readyAt: begun, before: lastUntil(own, attempt.endedAt ?? Infinity) });
      continue;
    }
    const from = (predecessors.get(attempt.node) ?? [])
      .map((node) => lastUntil(ended.get(node)?.steps ?? [], begun + SLACK_MS))
      .filter((one) => one !== null)
      .reduce<Ended | null>((best, one) => (best && best.endedAt >= one.endedAt ? best : one), null);
    const readyAt = Math.min(from?.endedAt ?? story.startedAt ?? begun, begun);
    // Of items that take turns, each hangs on the one that made room for it.
    const sibling = item && begun - readyAt > SLACK_MS ? lastUntil(own, begun) : null;
    causes.set(attempt.key, { readyAt, before: sibling ?? from });
  }
  return causes;
}

/** The attempts that the run's length hangs on: from its last one back, each time to the one that let it begin. */
export function criticalPath(story: Story, causes: ReadonlyMap<string, Cause>): ReadonlySet<string> {
  const path = new Set<string>();
  let step: Attempt | null = null;
  for (const one of story.attempts.values()) {
    if (one.endedAt !== null && one.endedAt >= (step?.endedAt ?? 0)) step = one;
  }
  while (step !== null && !path.has(step.key)) {
    path.add(step.key);
    step = causes.get(step.key)?.before ?? null;
  }
  return path;
}

function hasEnded(attempt: Attempt): attempt is Ended {
  return attempt.endedAt !== null;
}

interface NodeEnds {
  /** Whole steps, and the items of a foreach, each by its end. */
  steps: Ended[];
  items: Ended[];
}

function endedByNode(story: Story): ReadonlyMap<string, NodeEnds> {
  const found = new Map<string, NodeEnds>();
  for (const attempt of story.attempts.values()) {
    if (!hasEnded(attempt)) continue;
    const own = found.get(attempt.node) ?? { steps: [], items: [] };
    found.set(attempt.node, own);
    (attempt.step.includes('[') ? own.items : own.steps).push(attempt);
  }
  for (const own of found.values()) {
    own.steps.sort((one, other) => one.endedAt - other.endedAt);
    own.items.sort((one, other) => one.endedAt - other.endedAt);
  }
  return found;
}

/** The last of these, which are in the order of their ends, that had ended by a moment. */
function lastUntil(ended: readonly Ended[], moment: number): Ended | null {
  let [low, high] = [0, ended.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ended[middle]?.endedAt ?? Infinity) <= moment) low = middle + 1;
    else high = middle;
  }
  return ended[low - 1] ?? null;
}
