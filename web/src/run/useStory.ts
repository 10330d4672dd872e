/** Follows a run: what was so far in one answer, then its events over SSE, over any break of the connection. */
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';

import type { Schemas } from '~/api/client';
import { timelineQuery } from '~/api/runs';
import { drawn, NO_STORY, told, type RunEvent, type Story } from '~/run/story';

const TYPES = [
  'run.started',
  'run.completed',
  'run.failed',
  'run.cancelled',
  'step.scheduled',
  'step.started',
  'step.log',
  'step.event',
  'step.waiting',
  'step.retrying',
  'step.succeeded',
  'step.failed',
  'step.skipped',
];

const ENDS = ['run.completed', 'run.failed', 'run.cancelled'];

/** How long events are gathered before the page is drawn anew, and how often the run itself is read again. */
const DRAW_MS = 120;
const READ_MS = 700;
/** When a new connection is tried after the server refused one: proxies do while a server is replaced. */
const COME_BACK_MS = 3_000;

export interface Followed {
  story: Story;
  /** All that was is here; what comes now happens now. */
  loaded: boolean;
}

const NOTHING: Followed = { story: NO_STORY, loaded: false };

/** The story of a run as it unfolds. `again` begins anew, after a redrive. */
export function useStory(run: string, again: number): Followed {
  const queries = useQueryClient();
  const [followed, setFollowed] = useState(NOTHING);
  useEffect(() => {
    const readAgain = () => void queries.invalidateQueries({ queryKey: ['runs', run] });
    const read = () => queries.query(timelineQuery(run));
    const stop = follow(run, read, (change) => setFollowed(change), readAgain);
    return () => {
      stop();
      setFollowed(NOTHING);
    };
  }, [run, again, queries]);
  return followed;
}

type Change = (change: (before: Followed) => Followed) => void;

type Read = () => Promise<readonly Schemas['TimelineAnswer'][]>;

/** Tells a run's story to `change` until the answer is called. `readAgain`: what else is shown of the run is old. */
function follow(run: string, read: Read, change: Change, readAgain: () => void): () => void {
  let stopped = false;
  const timers = new Set<ReturnType<typeof setTimeout>>();
  let source: EventSource | null = null;
  const later = (act: () => void, ms: number) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, ms);
    timers.add(timer);
  };

  const load = async () => {
    try {
      const { story, after, over } = beginning(await read());
      if (stopped) return;
      change(() => ({ story, loaded: true }));
      if (!over) listen(after);
    } catch {
      // What is wrong is said by the run, which is asked for as well.
      if (!stopped) later(() => void load(), COME_BACK_MS);
    }
  };

  const listen = (after: string | null) => {
    const heard: RunEvent[] = [];
    let place = after;
    let waiting = false;
    let reading = false;
    const url = `/v1/runs/${encodeURIComponent(run)}/events`;
    const open = new EventSource(after === null ? url : `${url}?after=${encodeURIComponent(after)}`);
    source = open;
    const readSoon = () => {
      if (!reading) later(readAgainNow, READ_MS);
      reading = true;
    };
    const readAgainNow = () => {
      reading = false;
      readAgain();
    };
    const draw = () => {
      waiting = false;
      const fresh = heard.splice(0);
      change((before) => ({ ...before, story: told(before.story, fresh) }));
      readSoon();
    };
    const hear = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as RunEvent;
      place = message.lastEventId || place;
      heard.push(event);
      if (!waiting) later(draw, DRAW_MS);
      waiting = true;
      // The server closes the stream then; the browser would come back for nothing.
      if (ENDS.includes(event.type)) open.close();
    };
    for (const type of TYPES) open.addEventListener(type, hear as (event: Event) => void);
    open.addEventListener('open', readSoon);
    open.addEventListener('error', () => {
      // Asking for the run tells what is wrong: that the server is away, or that one has to log in again.
      readSoon();
      // A connection that broke the browser makes again; one that was refused it does not.
      if (open.readyState === EventSource.CLOSED) later(() => listen(place), COME_BACK_MS);
    });
  };

  void load();
  return () => {
    stopped = true;
    source?.close();
    for (const timer of timers) clearTimeout(timer);
  };
}

/** What has happened so far, where the events go on, and whether nothing will follow. */
function beginning(pages: readonly Schemas['TimelineAnswer'][]) {
  const last = pages.at(-1);
  // Of steps that have said more than fits all is told from the beginning.
  const cut = pages.some((page) => page.lines_cut);
  return {
    story: pages.reduce(drawn, NO_STORY),
    after: cut ? null : (last?.cursor ?? null),
    over: last?.ended != null && !cut,
  };
}
