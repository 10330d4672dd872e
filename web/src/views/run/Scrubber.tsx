import { Pause, Play } from 'lucide-react';
import { useEffect, useState } from 'react';

import { duration } from '~/lib/times';
import { IconButton } from '~/ui/Button';

import styles from './RunPage.module.css';

/** A replay takes so long, however long the run was. */
const REPLAY_MS = 6_000;
const FRAME_MS = 60;

interface Props {
  from: number;
  to: number;
  /** The moment that is shown; null for the end. */
  moment: number | null;
  onChange: (moment: number | null) => void;
}

/** Goes back and forth through a run that has ended. */
export function Scrubber({ from, to, moment, onChange }: Props) {
  const [playing, setPlaying] = useState(false);
  useEffect(() => {
    if (!playing) return undefined;
    const step = ((to - from) * FRAME_MS) / REPLAY_MS;
    const timer = setTimeout(() => {
      const next = (moment ?? from) + step;
      if (next >= to) setPlaying(false);
      onChange(next >= to ? null : next);
    }, FRAME_MS);
    return () => clearTimeout(timer);
  }, [playing, moment, from, to, onChange]);
  const toggle = () => {
    if (!playing && moment === null) onChange(from);
    setPlaying(!playing);
  };
  return (
    <div className={styles.scrubber}>
      <IconButton small label={playing ? 'Pause the replay' : 'Replay'} onClick={toggle}>
        {playing ? <Pause aria-hidden /> : <Play aria-hidden />}
      </IconButton>
      <input
        type="range"
        aria-label="Moment"
        aria-valuetext={`${duration((moment ?? to) - from)} of ${duration(to - from)}`}
        min={from}
        max={to}
        value={moment ?? to}
        onChange={(event) => {
          const value = Number(event.target.value);
          onChange(value >= to ? null : value);
        }}
      />
      <span className="muted nowrap">
        {duration((moment ?? to) - from)} of {duration(to - from)}
      </span>
    </div>
  );
}
