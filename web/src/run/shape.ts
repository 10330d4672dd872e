/** What a story means for the drawing of its flow. */
import type { FlowGraph } from '~/graph/model';
import type { NodeState } from '~/graph/RunCanvas';
import type { Attempt, Story } from '~/run/story';

const DEFAULT = 'default';

/** The more telling of two states of steps of one node. */
const WEIGHT: Record<string, number> = {
  running: 6,
  retrying: 5,
  waiting: 4,
  scheduled: 3,
  failed: 2,
  succeeded: 1,
};

/** How far each node has come: its steps as one. */
export function nodeStates(story: Story): ReadonlyMap<string, NodeState> {
  const latest = new Map<string, Attempt>();
  for (const attempt of story.attempts.values()) latest.set(attempt.step, attempt);
  const wholes = new Set([...latest.keys()].map(wholeOf));
  const states = new Map<string, NodeState>();
  for (const attempt of latest.values()) {
    const before = states.get(attempt.node);
    const whole = wholeOf(attempt.step);
    // What a foreach came to it says as a whole: some of its items may have failed.
    const told = (whole !== null && latest.get(whole)?.endedAt != null ? latest.get(whole) : null) ?? attempt;
    const heavier = before === undefined || (WEIGHT[told.status] ?? 0) >= (WEIGHT[before.status] ?? 0);
    states.set(attempt.node, {
      status: heavier ? told.status : before.status,
      steps: (before?.steps ?? 0) + (wholes.has(attempt.step) ? 0 : 1),
    });
  }
  return states;
}

/** The step that an item of a foreach is a part of. */
function wholeOf(step: string): string | null {
  const place = step.lastIndexOf('[');
  return place < 0 ? null : step.slice(0, place);
}

/** The edges that the run went along. */
export function takenEdges(graph: FlowGraph, story: Story): ReadonlySet<string> {
  const actions = new Map<string, Set<string>>();
  const reached = new Set<string>();
  for (const attempt of story.attempts.values()) {
    reached.add(attempt.node);
    const own = actions.get(attempt.node) ?? new Set<string>();
    actions.set(attempt.node, own);
    if (attempt.status === 'succeeded') own.add(attempt.action ?? DEFAULT);
    if (attempt.status === 'failed') own.add('error');
    if (attempt.status === 'skipped') own.add('skipped');
  }
  return new Set(
    graph.edges
      .filter(({ from, to, label, kind }) => {
        const done = actions.get(from);
        if (!done || !reached.has(to)) return false;
        if (kind === 'need' || kind === 'port') return done.size > 0;
        const wanted = label || DEFAULT;
        // An action without an edge of its own goes along `default`.
        return done.has(wanted) || (wanted === DEFAULT && done.size > 0 && !onlyOthers(graph, from, done));
      })
      .map(({ id }) => id),
  );
}

function onlyOthers(graph: FlowGraph, from: string, done: ReadonlySet<string>): boolean {
  const own = new Set(
    graph.edges.filter((edge) => edge.from === from && edge.kind !== 'need').map((edge) => edge.label),
  );
  return [...done].every((action) => own.has(action) || action === 'error' || action === 'skipped');
}
