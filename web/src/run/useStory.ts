/** Follows a run: its events over SSE, from the beginning, over any break of the connection. */
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';

import { NO_STORY, told, type RunEvent, type Story } from '~/run/story';

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

/** How long events are gathered before the page is drawn anew, and how often the run itself is read again. */
const DRAW_MS = 120;
const READ_MS = 700;

export interface Followed {
  story: Story;
  /** Every event so far, to tell the story up to some moment. */
  events: readonly RunEvent[];
  connected: boolean;
}

/** The story of a run as it unfolds. `again` begins anew, after a redrive. */
export function useStory(run: string, again: number): Followed {
  const queries = useQueryClient();
  const [followed, setFollowed] = useState<Followed>({ story: NO_STORY, events: [], connected: false });
  const reading = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => {
    const heard: RunEvent[] = [];
    let drawing: ReturnType<typeof setTimeout> | null = null;
    const source = new EventSource(`/v1/runs/${encodeURIComponent(run)}/events`);
    const readAgain = () => {
      reading.current ??= setTimeout(() => {
        reading.current = null;
        void queries.invalidateQueries({ queryKey: ['runs', run] });
      }, READ_MS);
    };
    const draw = () => {
      drawing = null;
      const fresh = heard.splice(0);
      setFollowed((before) => ({
        ...before,
        story: told(before.story, fresh),
        events: [...before.events, ...fresh],
      }));
      readAgain();
    };
    const hear = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as RunEvent;
      heard.push(event);
      drawing ??= setTimeout(draw, DRAW_MS);
      // The server closes the stream then; the browser would come back for nothing.
      if (['run.completed', 'run.failed', 'run.cancelled'].includes(event.type)) source.close();
    };
    for (const type of TYPES) source.addEventListener(type, hear as (event: Event) => void);
    source.addEventListener('open', () => setFollowed((before) => ({ ...before, connected: true })));
    source.addEventListener('error', () => setFollowed((before) => ({ ...before, connected: false })));
    return () => {
      source.close();
      if (drawing !== null) clearTimeout(drawing);
      if (reading.current !== null) clearTimeout(reading.current);
      reading.current = null;
      setFollowed({ story: NO_STORY, events: [], connected: false });
    };
  }, [run, again, queries]);
  return followed;
}
