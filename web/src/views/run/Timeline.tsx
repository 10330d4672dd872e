import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useMemo, useRef, useState } from 'react';

import { duration } from '~/lib/times';
import { criticalPath, type Cause } from '~/run/causes';
import type { Attempt, Story } from '~/run/story';
import { Skeleton } from '~/ui/Notes';
import { toneOf } from '~/ui/Status';

import styles from './Timeline.module.css';

const ROW = 28;
const TICK_MS = 500;

interface Props {
  story: Story;
  causes: ReadonlyMap<string, Cause>;
  loading: boolean;
  selected: string | null;
  onSelect: (attempt: Attempt) => void;
}

/** Every attempt on the run's time: how long it waited, worked and held, and which ones the run's length hung on. */
export function Timeline({ story, causes, loading, selected, onSelect }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const attempts = useMemo(() => inOrder(story), [story]);
  const critical = useMemo(() => criticalPath(story, causes), [story, causes]);
  const now = useNow(story.endedAt === null);
  const from = story.startedAt ?? attempts[0]?.scheduledAt ?? now;
  const to = Math.max(story.endedAt ?? now, ...attempts.slice(-1).map((one) => one.endedAt ?? 0), from + 1);
  const rows = useVirtualizer({
    count: attempts.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  return (
    <div ref={scroller} className={styles.timeline}>
      <p className={`${styles.legend ?? ''} muted`}>
        <span>
          {attempts.length.toLocaleString('en')} {attempts.length === 1 ? 'step' : 'steps'} in{' '}
          {duration(to - from)}
        </span>
        <span>thin line: waited for its turn</span>
        <span>dashes: until the next try</span>
        <span>
          <b>bold</b>: the run's length hung on it
        </span>
      </p>
      {loading && <Skeleton lines={4} />}
      <div className={styles.space} style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const attempt = attempts[item.index];
          if (attempt === undefined) return null;
          return (
            <button
              key={attempt.key}
              type="button"
              className={styles.row}
              style={{ transform: `translateY(${String(item.start)}px)` }}
              aria-pressed={attempt.key === selected}
              onClick={() => onSelect(attempt)}
            >
              <span
                className={[styles.name, 'truncate', critical.has(attempt.key) && styles.critical]
                  .filter(Boolean)
                  .join(' ')}
                title={attempt.step}
              >
                {attempt.step}
                {attempt.attempt > 1 && <span className="muted"> try {attempt.attempt}</span>}
              </span>
              <Track
                attempt={attempt}
                readyAt={causes.get(attempt.key)?.readyAt ?? attempt.scheduledAt}
                from={from}
                to={to}
                now={now}
              />
              <span className={`${styles.took ?? ''} muted`}>
                {duration(
                  (attempt.endedAt ?? Math.max(now, attempt.scheduledAt)) -
                    (attempt.startedAt ?? attempt.scheduledAt),
                )}
              </span>
            </button>
          );
        })}
      </div>
    </div>
  );
}

interface TrackProps {
  attempt: Attempt;
  readyAt: number;
  from: number;
  to: number;
  now: number;
}

function Track({ attempt, readyAt, from, to, now }: TrackProps) {
  const span = to - from;
  const part = (begin: number, end: number) => ({
    left: `${String(Math.min(100, Math.max(0, ((begin - from) / span) * 100)))}%`,
    width: `${String(Math.max(0, Math.min(100, ((end - begin) / span) * 100)))}%`,
  });
  const { scheduledAt, startedAt, waitingAt, endedAt, retryAt } = attempt;
  const end = endedAt ?? Math.max(now, scheduledAt);
  const worked = startedAt === null ? null : { begin: startedAt, end: waitingAt ?? end };
  return (
    <span
      className={styles.track}
      role="img"
      aria-label={`${attempt.status}, began after ${duration(scheduledAt - from)}, waited for ${duration(scheduledAt - readyAt)}`}
    >
      <span
        className={`${styles.part ?? ''} ${styles.queued ?? ''}`}
        style={part(readyAt, startedAt ?? end)}
      />
      {worked && (
        <span
          className={`${styles.part ?? ''} ${styles[toneOf(attempt.status)] ?? ''}`}
          style={part(worked.begin, worked.end)}
        />
      )}
      {waitingAt !== null && (
        <span className={`${styles.part ?? ''} ${styles.hold ?? ''}`} style={part(waitingAt, end)} />
      )}
      {endedAt !== null && retryAt !== null && (
        <span className={`${styles.part ?? ''} ${styles.retry ?? ''}`} style={part(endedAt, retryAt)} />
      )}
    </span>
  );
}

/** The attempts as they began; those that began together, as they were told. */
function inOrder(story: Story): Attempt[] {
  const began = (one: Attempt) => one.startedAt ?? one.scheduledAt;
  return [...story.attempts.values()].sort((one, other) => began(one) - began(other));
}

function useNow(ticking: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!ticking) return undefined;
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, [ticking]);
  return now;
}
