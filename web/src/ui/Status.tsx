import {
  Archive,
  Ban,
  Check,
  CircleDashed,
  Clock,
  LoaderCircle,
  Pause,
  PenLine,
  RotateCw,
  SkipForward,
  X,
  type LucideIcon,
} from 'lucide-react';
import { createElement } from 'react';

import styles from './Status.module.css';

export type Tone = 'good' | 'bad' | 'warn' | 'busy' | 'hold' | 'idle';

const LOOKS: Record<string, readonly [Tone, LucideIcon]> = {
  completed: ['good', Check],
  succeeded: ['good', Check],
  delivered: ['good', Check],
  active: ['good', Check],
  failed: ['bad', X],
  running: ['busy', LoaderCircle],
  waiting: ['hold', Pause],
  retrying: ['warn', RotateCw],
  queued: ['idle', Clock],
  scheduled: ['idle', Clock],
  pending: ['idle', Clock],
  cancelled: ['idle', Ban],
  skipped: ['idle', SkipForward],
  draft: ['warn', PenLine],
  archived: ['idle', Archive],
};

/** How a status is coloured; the word always stands beside the colour. */
export function toneOf(status: string): Tone {
  return LOOKS[status]?.[0] ?? 'idle';
}

export function iconOf(status: string): LucideIcon {
  return LOOKS[status]?.[1] ?? CircleDashed;
}

/** The status of a run, a step, a flow or a delivery: a word with an icon and a colour. */
export function Status({ status, text }: { status: string; text?: string }) {
  return (
    <span className={`${styles.status ?? ''} ${styles[toneOf(status)] ?? ''}`}>
      {createElement(iconOf(status), { 'aria-hidden': true })}
      {text ?? status}
    </span>
  );
}

/** A word with a colour and no icon. */
export function Badge({ tone = 'idle', children }: { tone?: Tone; children: string }) {
  return <span className={`${styles.status ?? ''} ${styles[tone] ?? ''}`}>{children}</span>;
}
