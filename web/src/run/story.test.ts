import { describe, expect, it } from 'vitest';

import { graphOf } from '~/graph/model';
import { causesOf, criticalPath } from '~/run/causes';
import { nodeStates, takenEdges } from '~/run/shape';
import { drawn, NO_STORY, told, toldUntil, type RunEvent } from '~/run/story';

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
    const early = toldUntil(story, START + 120);
    expect(early).toMatchObject({ status: 'running', endedAt: null, lines: [] });
    expect(toldUntil(story, START + 951)).toEqual(story);
    expect([...early.attempts.values()].map(({ step: name, status }) => [name, status])).toEqual([
      ['a', 'succeeded'],
      ['b', 'running'],
      ['c', 'running'],
    ]);
  });
});

describe('drawn', () => {
  const page = {
    status: 'failed',
    started: START,
    ended: START + 951,
    columns: ['step', 'node', 'attempt', 'status', 'started', 'waiting', 'ended', 'retry', 'action', 'error'],
    attempts: [
      ['a', 'a', 1, 'succeeded', START + 2, null, START + 100, null, 'true', null],
      ['b', 'b', 1, 'succeeded', START + 102, null, START + 400, null, 'default', null],
      ['c', 'c', 1, 'succeeded', START + 102, null, START + 150, null, 'default', null],
      ['d', 'd', 1, 'retrying', START + 401, null, START + 410, START + 900, null, 'no'],
      ['d', 'd', 2, 'failed', START + 900, null, START + 950, null, null, 'still no'],
    ],
    lines: EVENTS.filter(({ type }) => type === 'step.log'),
    lines_cut: false,
    cursor: '9~',
    more: false,
  };

  it('is the same story as the events tell', () => {
    const whole = told(NO_STORY, EVENTS);
    const story = drawn(NO_STORY, page);
    const exact = ({ attempts }: typeof whole) =>
      [...attempts.values()].map((one) => ({ ...one, scheduledAt: 0, startedAt: one.startedAt }));
    expect(exact(story)).toEqual(exact(whole));
    expect(story).toMatchObject({ status: 'failed', startedAt: START, endedAt: START + 951 });
    expect(story.lines).toEqual(whole.lines);
  });

  it('goes on with events', () => {
    const story = told(drawn(NO_STORY, { ...page, ended: null, status: 'running' }), EVENTS.slice(-2));
    expect(story).toMatchObject({ status: 'failed', endedAt: START + 951 });
    expect(story.attempts.size).toBe(5);
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

  it('counts the items of a foreach, and says what it came to as a whole', () => {
    const items = [
      ...step('each[0]', 0, 10),
      event('step.scheduled', 0, 'each[1]'),
      event('step.failed', 12, 'each[1]', { error: { message: 'one is broken' } }),
    ];
    expect(nodeStates(told(NO_STORY, items)).get('each')).toEqual({ status: 'failed', steps: 2 });
    const over = told(NO_STORY, [...items, ...step('each', 12, 13)]);
    expect(nodeStates(over).get('each')).toEqual({ status: 'succeeded', steps: 2 });
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
    const causes = GRAPH ? causesOf(GRAPH, story) : new Map();
    expect([...criticalPath(story, causes)].reverse()).toEqual(['a:1', 'b:1', 'd:1', 'd:2']);
    expect(causes.get('d:2')).toMatchObject({ readyAt: START + 900 });
    expect(causes.get('c:1')).toMatchObject({ readyAt: START + 100 });
  });

  it('lets items wait for their turn, and the whole for the last of them', () => {
    const flow = graphOf('nodes: {a: {next: e}, e: {foreach: {items: []}, next: z}, z: {}}');
    const items = told(NO_STORY, [
      event('run.started', 0),
      ...step('a', 1, 100),
      ...step('e[0]', 101, 300),
      ...step('e[1]', 302, 500),
      ...step('e', 501, 502),
      ...step('z', 510, 600),
      event('run.completed', 601),
    ]);
    const causes = flow ? causesOf(flow, items) : new Map();
    expect([...criticalPath(items, causes)].reverse()).toEqual(['a:1', 'e[0]:1', 'e[1]:1', 'e:1', 'z:1']);
    expect(causes.get('e[1]:1')).toMatchObject({ readyAt: START + 100 });
    expect(causes.get('z:1')).toMatchObject({ readyAt: START + 502 });
  });
});
