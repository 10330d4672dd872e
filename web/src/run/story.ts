/** The story of a run, told by its events: what each step came to, what was said, and how it ended. */
import type { Schemas } from '~/api/client';

export type RunEvent = Schemas['EventAnswer'];

/** One attempt of a step. Times are in ms since the epoch. */
export interface Attempt {
  key: string;
  step: string;
  node: string;
  attempt: number;
  status: string;
  scheduledAt: number;
  startedAt: number | null;
  waitingAt: number | null;
  endedAt: number | null;
  retryAt: number | null;
  action: string | null;
  error: string | null;
}

export interface Line {
  id: string;
  at: number;
  step: string;
  node: string;
  level: string;
  text: string;
  data: unknown;
}

export interface Story {
  /** By `step:attempt`, in the order in which they were scheduled. */
  attempts: ReadonlyMap<string, Attempt>;
  lines: readonly Line[];
  startedAt: number | null;
  endedAt: number | null;
  /** `running` until an event of the end. */
  status: string;
  seen: ReadonlySet<string>;
}

export const NO_STORY: Story = {
  attempts: new Map(),
  lines: [],
  startedAt: null,
  endedAt: null,
  status: 'running',
  seen: new Set(),
};

const ENDS = new Set(['run.completed', 'run.failed', 'run.cancelled']);

type Timeline = Schemas['TimelineAnswer'];

/** The story with a page of the run's timeline, which says in rows what events would tell one by one. */
export function drawn(story: Story, page: Timeline): Story {
  const attempts = new Map(story.attempts);
  const place = new Map(page.columns.map((name, index) => [name, index]));
  for (const row of page.attempts) {
    const value = (name: string) => row[place.get(name) ?? -1] ?? null;
    const time = (name: string) => value(name) as number | null;
    const word = (name: string) => text(value(name)) ?? '';
    const [step, node, attempt] = [word('step'), word('node'), Number(value('attempt'))];
    const startedAt = time('started');
    const key = `${step}:${attempt}`;
    attempts.set(key, {
      ...fresh(key, step, node, attempt, startedAt ?? time('ended') ?? page.started),
      status: word('status'),
      startedAt: word('status') === 'skipped' ? null : startedAt,
      waitingAt: time('waiting'),
      endedAt: time('ended'),
      retryAt: time('retry'),
      action: text(value('action')),
      error: text(value('error')),
    });
  }
  const ended = page.ended ?? null;
  return told(
    {
      ...story,
      attempts,
      startedAt: page.started,
      endedAt: ended,
      status: ended === null ? 'running' : page.status,
    },
    page.lines,
  );
}

/** The story with more events; those it has already change nothing. */
export function told(story: Story, events: readonly RunEvent[]): Story {
  const attempts = new Map(story.attempts);
  const lines = [...story.lines];
  const seen = new Set(story.seen);
  let { startedAt, endedAt, status } = story;
  for (const event of events) {
    if (seen.has(event.id)) continue;
    seen.add(event.id);
    const at = Date.parse(event.at);
    if (event.type === 'run.started') {
      startedAt ??= at;
    } else if (ENDS.has(event.type)) {
      endedAt = at;
      status = event.type.slice('run.'.length);
    } else if (event.step_id) {
      if (event.type === 'step.scheduled' && endedAt !== null && at > endedAt) {
        // A redrive: the run goes on.
        endedAt = null;
        status = 'running';
      }
      tellStep(attempts, lines, event, event.step_id, at);
    }
  }
  return { attempts, lines, startedAt, endedAt, status, seen };
}

function field(data: unknown, name: string): unknown {
  return typeof data === 'object' && data !== null ? (data as Record<string, unknown>)[name] : undefined;
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function tellStep(
  attempts: Map<string, Attempt>,
  lines: Line[],
  event: RunEvent,
  step: string,
  at: number,
): void {
  const number = event.attempt ?? 1;
  const key = `${step}:${number}`;
  const node = event.node ?? step;
  const before = attempts.get(key) ?? fresh(key, step, node, number, at);
  const change = (next: Partial<Attempt>) => attempts.set(key, { ...before, ...next });
  switch (event.type) {
    case 'step.scheduled':
      change({ scheduledAt: at });
      break;
    case 'step.started':
      change({ startedAt: at, status: 'running' });
      break;
    case 'step.waiting':
      change({ waitingAt: at, status: 'waiting' });
      break;
    case 'step.retrying': {
      const retryAt = text(field(event.data, 'retry_at'));
      change({
        endedAt: at,
        status: 'retrying',
        error: messageOf(event.data),
        retryAt: retryAt ? Date.parse(retryAt) : null,
      });
      break;
    }
    case 'step.succeeded':
    case 'step.failed':
    case 'step.skipped':
      change({
        endedAt: at,
        status: event.type.slice('step.'.length),
        action: text(field(event.data, 'action')),
        error: messageOf(event.data),
      });
      break;
    case 'step.log':
    case 'step.event':
      attempts.set(key, before);
      lines.push(lineOf(event, step, node, at));
      break;
    default:
      break;
  }
}

function fresh(key: string, step: string, node: string, attempt: number, at: number): Attempt {
  return {
    key,
    step,
    node,
    attempt,
    status: 'scheduled',
    scheduledAt: at,
    startedAt: null,
    waitingAt: null,
    endedAt: null,
    retryAt: null,
    action: null,
    error: null,
  };
}

function messageOf(data: unknown): string | null {
  return text(field(field(data, 'error'), 'message'));
}

function lineOf(event: RunEvent, step: string, node: string, at: number): Line {
  const isLog = event.type === 'step.log';
  return {
    id: event.id,
    at,
    step,
    node,
    level: isLog ? (text(field(event.data, 'level')) ?? 'info') : 'event',
    text: text(field(event.data, isLog ? 'message' : 'name')) ?? '',
    data: field(event.data, 'data') ?? null,
  };
}

/** The story as it was at a moment. */
export function toldUntil(story: Story, moment: number): Story {
  const attempts = new Map<string, Attempt>();
  for (const [key, attempt] of story.attempts) {
    if (attempt.scheduledAt <= moment) attempts.set(key, attemptAt(attempt, moment));
  }
  const over = story.endedAt !== null && story.endedAt <= moment;
  return {
    ...story,
    attempts,
    lines: story.lines.filter(({ at }) => at <= moment),
    endedAt: over ? story.endedAt : null,
    status: over ? story.status : 'running',
  };
}

function attemptAt(attempt: Attempt, moment: number): Attempt {
  const { startedAt, waitingAt, endedAt } = attempt;
  if (endedAt !== null && endedAt <= moment) return attempt;
  const began = startedAt !== null && startedAt <= moment;
  const waits = waitingAt !== null && waitingAt <= moment;
  return {
    ...attempt,
    status: waits ? 'waiting' : began ? 'running' : 'scheduled',
    startedAt: began ? startedAt : null,
    waitingAt: waits ? waitingAt : null,
    endedAt: null,
    retryAt: null,
    action: null,
    error: null,
  };
}
