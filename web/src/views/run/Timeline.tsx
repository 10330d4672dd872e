import { useVirtualizer } from '@tanstack/react-virtual';
import { createElement, useEffect, useMemo, useRef, useState } from 'react';

import { duration } from '~/lib/times';
import { marks, type Mark } from '~/run/axis';
import { criticalPath, type Cause } from '~/run/causes';
import type { Attempt, Story } from '~/run/story';
import { Skeleton } from '~/ui/Notes';
import { iconOf, toneOf } from '~/ui/Status';
import { Track } from '~/views/run/Track';

import styles from './Timeline.module.css';

const ROW = 28;
const TICK_MS = 500;
/** From so many rows on one wants to look for some of them. */
const MANY = 12;

const KINDS = {
  all: 'All steps',
  failed: 'Failed or tried again',
  open: 'Under way',
  critical: 'Critical path',
} as const;
type Kind = keyof typeof KINDS;

interface Props {
  story: Story;
  causes: ReadonlyMap<string, Cause>;
  loading: boolean;
  selected: string | null;
  /** In a replay: the moment that is shown, and the end that the run had. */
  replay: { moment: number; end: number } | null;
  onSelect: (attempt: Attempt) => void;
}

/** Every attempt on the run's time: how long it waited, worked and held, and which ones the run's length hung on. */
export function Timeline({ story, causes, loading, selected, replay, onSelect }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const attempts = useMemo(() => inOrder(story), [story]);
  const critical = useMemo(() => criticalPath(story, causes), [story, causes]);
  const ticking = useNow(story.endedAt === null && replay === null);
  const now = replay?.moment ?? ticking;
  const from = story.startedAt ?? attempts[0]?.scheduledAt ?? now;
  const last = attempts.at(-1);
  const to = Math.max(replay?.end ?? story.endedAt ?? now, last?.endedAt ?? 0, last?.retryAt ?? 0, from + 1);
  const [kind, setKind] = useState<Kind>('all');
  const [text, setText] = useState('');
  const shown = useMemo(() => found(attempts, kind, text, critical), [attempts, kind, text, critical]);
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  return (
    <div className={styles.whole}>
      <div className={`${styles.legend ?? ''} muted`}>
        <span>
          {attempts.length.toLocaleString('en')} {attempts.length === 1 ? 'step' : 'steps'} in{' '}
          {duration(to - from)}
        </span>
        <Legend />
        {attempts.length > MANY && (
          <span className={styles.find}>
            <select
              aria-label="Which steps"
              value={kind}
              onChange={(event) => setKind(event.target.value as Kind)}
            >
              {Object.entries(KINDS).map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
            <input
              type="search"
              aria-label="Step"
              placeholder="Step"
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          </span>
        )}
      </div>
      {loading && <Skeleton lines={4} />}
      <div ref={scroller} className={styles.rows}>
        {attempts.length > 0 && <Axis span={to - from} />}
        {shown.length === 0 && attempts.length > 0 && <p className={styles.none}>No step is like that.</p>}
        <div className={styles.space} style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => {
            const attempt = shown[item.index];
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
                <Name attempt={attempt} critical={critical.has(attempt.key)} />
                <Track
                  attempt={attempt}
                  readyAt={causes.get(attempt.key)?.readyAt ?? attempt.scheduledAt}
                  from={from}
                  to={to}
                  now={now}
                />
                <span className={`${styles.took ?? ''} muted`}>{duration(tookUntil(attempt, now))}</span>
              </button>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function Legend() {
  return (
    <>
      <span className={styles.sign}>
        <i className={styles.queued} aria-hidden />
        queued
      </span>
      <span className={styles.sign}>
        <i className={styles.busy} aria-hidden />
        at work
      </span>
      <span className={styles.sign}>
        <i className={styles.held} aria-hidden />
        waiting
      </span>
      <span className={styles.sign}>
        <i className={styles.retry} aria-hidden />
        until the next try
      </span>
      <span title="What the run's length hung on">
        <b>bold</b>: critical path
      </span>
    </>
  );
}

function Axis({ span }: { span: number }) {
  const all = marks(span);
  const at = (mark: Mark) => ({ left: `${String(mark.at * 100)}%` });
  return (
    <>
      <div className={styles.axis} aria-hidden>
        <div className={styles.marks}>
          {all.map((mark) => (
            <span key={mark.at} className={styles.mark} style={at(mark)}>
              {mark.label}
            </span>
          ))}
        </div>
      </div>
      <div className={styles.grid} aria-hidden>
        <div className={styles.marks}>
          {all.map((mark) => (
            <span key={mark.at} className={styles.mark} style={at(mark)} />
          ))}
        </div>
      </div>
    </>
  );
}

function Name({ attempt, critical }: { attempt: Attempt; critical: boolean }) {
  return (
    <span
      className={[styles.name, critical && styles.critical].filter(Boolean).join(' ')}
      title={attempt.step}
    >
      <span className={styles.how} data-tone={toneOf(attempt.status)}>
        {createElement(iconOf(attempt.status), { 'aria-hidden': true })}
      </span>
      <span className="truncate">{attempt.step}</span>
      {attempt.attempt > 1 && <span className="muted nowrap">try {attempt.attempt}</span>}
    </span>
  );
}

/** How long an attempt took, or has taken by now. */
function tookUntil({ scheduledAt, startedAt, endedAt }: Attempt, now: number): number {
  return (endedAt ?? Math.max(now, scheduledAt)) - (startedAt ?? scheduledAt);
}

/** The attempts as they began; those that began together, as they were told. */
function inOrder(story: Story): Attempt[] {
  const began = (one: Attempt) => one.startedAt ?? one.scheduledAt;
  return [...story.attempts.values()].sort((one, other) => began(one) - began(other));
}

function found(
  attempts: readonly Attempt[],
  kind: Kind,
  text: string,
  critical: ReadonlySet<string>,
): readonly Attempt[] {
  if (kind === 'all' && text === '') return attempts;
  const wanted = text.trim().toLowerCase();
  return attempts.filter(
    (one) =>
      one.step.toLowerCase().includes(wanted) &&
      (kind === 'all' ||
        (kind === 'failed' && (one.status === 'failed' || one.status === 'retrying')) ||
        (kind === 'open' && one.endedAt === null) ||
        (kind === 'critical' && critical.has(one.key))),
  );
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
