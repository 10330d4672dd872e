import { duration } from '~/lib/times';
import type { Attempt } from '~/run/story';
import { toneOf } from '~/ui/Status';

import styles from './Timeline.module.css';

interface Props {
  attempt: Attempt;
  readyAt: number;
  from: number;
  to: number;
  now: number;
}

/** One attempt on the run's time: a thin line for its turn, a bar for work, a pale one for waiting, dashes for a retry. */
export function Track({ attempt, readyAt, from, to, now }: Props) {
  const span = to - from;
  const part = (begin: number, end: number) => ({
    left: `${String(Math.min(100, Math.max(0, ((begin - from) / span) * 100)))}%`,
    width: `${String(Math.max(0, Math.min(100, ((end - begin) / span) * 100)))}%`,
  });
  const { scheduledAt, startedAt, waitingAt, endedAt, retryAt } = attempt;
  const end = endedAt ?? Math.max(now, scheduledAt);
  const worked = startedAt === null ? null : { begin: startedAt, end: waitingAt ?? end };
  return (
    <span className={styles.track} role="img" aria-label={inWords(attempt, readyAt, from, end)}>
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
        <span className={`${styles.part ?? ''} ${styles.held ?? ''}`} style={part(waitingAt, end)} />
      )}
      {endedAt !== null && retryAt !== null && (
        <span className={`${styles.part ?? ''} ${styles.retry ?? ''}`} style={part(endedAt, retryAt)} />
      )}
    </span>
  );
}

/** What the bars show, for who does not see them. */
function inWords(
  { status, scheduledAt, startedAt, waitingAt, endedAt, retryAt }: Attempt,
  readyAt: number,
  from: number,
  end: number,
): string {
  const begun = startedAt ?? scheduledAt;
  return [
    status,
    `began after ${duration(begun - from)}`,
    `queued for ${duration(begun - readyAt)}`,
    ...(waitingAt === null ? [] : [`held for ${duration(end - waitingAt)}`]),
    ...(endedAt === null || retryAt === null ? [] : [`next try after ${duration(retryAt - endedAt)}`]),
  ].join(', ');
}
