import { describe, expect, it } from 'vitest';

import { graphOf } from '~/graph/model';
import { criticalPath, nodeStates, takenEdges } from '~/run/shape';
import { NO_STORY, told, toldUntil, type RunEvent } from '~/run/story';

const START = Date.parse('2026-11-21T12:00:00.000Z');

function event(type: string, ms: number, step?: string, data?: unknown, attempt = 1): RunEvent {
  return {
    id: `${step ?? 'run'}:${attempt}:${type}:${ms}`,
    type,
    run_id: 'r',
    at: new Date(START + ms).toISOString(),
    step_id: step ?? null,
    node: step?.replace(/[.[].*/, '') ?? null,
    attempt: step ? attempt : null,
    data: data,
  };
}

function step(name: string, scheduled: number, ended: number, action = 'default'): RunEvent[] {
  return [
    event('step.scheduled', scheduled, name),
    event('step.started', scheduled + 1, name),
    event('step.succeeded', ended, name, { action, error: null }),
  ];
}

const EVENTS = [
  event('run.started', 0),
  ...step('a', 1, 100, 'true'),
  ...step('b', 101, 400),
  ...step('c', 101, 150),
  event('step.scheduled', 400, 'd'),
  event('step.started', 401, 'd'),
  event('step.log', 402, 'd', { level: 'warning', message: 'hm', data: { n: 1 } }),
  event('step.retrying', 410, 'd', {
    error: { message: 'no' },
    retry_at: new Date(START + 900).toISOString(),
  }),
  event('step.scheduled', 410, 'd', null, 2),
  event('step.started', 900, 'd', null, 2),
  event('step.failed', 950, 'd', { action: null, error: { message: 'still no' } }, 2),
  event('run.failed', 951),
];

const GRAPH = graphOf(`
nodes:
  a: {type: condition, next: {true: [b, c], false: e}}
  b: {type: log}
  c: {type: log}
  d: {type: log, needs: [b, c]}
  e: {type: log}
`);

describe('told', () => {
  const story = told(NO_STORY, EVENTS);

  it('tells each attempt', () => {
    expect(story.attempts.get('d:1')).toMatchObject({
      status: 'retrying',
      error: 'no',
      retryAt: START + 900,
    });
    expect(story.attempts.get('d:2')).toMatchObject({
      status: 'failed',
      error: 'still no',
      startedAt: START + 900,
    });
    expect(story).toMatchObject({ status: 'failed', startedAt: START, endedAt: START + 951 });
    expect(story.lines).toMatchObject([{ level: 'warning', text: 'hm', data: { n: 1 }, node: 'd' }]);
  });

  it('is the same however often, and in which portions, it hears the events', () => {
    const again = [...EVENTS, ...EVENTS].reduce((so, one) => told(so, [one]), NO_STORY);
    expect(again).toEqual(story);
  });

  it('goes on after a redrive', () => {
    const redriven = told(story, [event('step.scheduled', 2_000, 'd', null, 3)]);
    expect(redriven).toMatchObject({ status: 'running', endedAt: null });
  });

  it('is told up to any moment', () => {
    const early = toldUntil(EVENTS, START + 120);
    expect([...early.attempts.values()].map(({ step: name, status }) => [name, status])).toEqual([
      ['a', 'succeeded'],
      ['b', 'running'],
      ['c', 'running'],
    ]);
  });
});

describe('the drawing of a run', () => {
  const story = told(NO_STORY, EVENTS);

  it('has the state of each node', () => {
    expect(Object.fromEntries([...nodeStates(story)].map(([node, { status }]) => [node, status]))).toEqual({
      a: 'succeeded',
      b: 'succeeded',
      c: 'succeeded',
      d: 'failed',
    });
  });

  it('has the edges that were taken', () => {
    expect(GRAPH && [...takenEdges(GRAPH, story)].sort()).toEqual([
      'need:b::d',
      'need:c::d',
      'next:a:true:b',
      'next:a:true:c',
    ]);
  });

  it('knows what the length hung on', () => {
    expect([...criticalPath(story)].reverse()).toEqual(['a:1', 'b:1', 'd:1', 'd:2']);
  });
});
