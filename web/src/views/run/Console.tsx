import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useMemo, useRef, useState } from 'react';

import type { Line } from '~/run/story';

import styles from './Console.module.css';

const LEVELS = ['debug', 'info', 'warning', 'error'];
const ROW = 23;
const NEAR_END = 60;
/** Characters of a line that are shown. */
const LONG = 2_000;

const clock = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
});

interface Props {
  lines: readonly Line[];
  node: string | null;
  onNode: (node: string | null) => void;
}

/** What the steps have said, as it comes; it stays at the end as long as one looks there. */
export function Console({ lines, node, onNode }: Props) {
  const [level, setLevel] = useState('debug');
  const [text, setText] = useState('');
  const [events, setEvents] = useState(true);
  const nodes = useMemo(() => [...new Set(lines.map((line) => line.node))].sort(), [lines]);
  const shown = useMemo(
    () =>
      lines.filter(
        (line) =>
          (node === null || line.node === node) &&
          (line.level === 'event' ? events : LEVELS.indexOf(line.level) >= LEVELS.indexOf(level)) &&
          (text === '' || line.text.toLowerCase().includes(text.toLowerCase())),
      ),
    [lines, node, level, text, events],
  );
  return (
    <div className={styles.console}>
      <div className={styles.filters}>
        <select aria-label="Node" value={node ?? ''} onChange={(event) => onNode(event.target.value || null)}>
          <option value="">All nodes</option>
          {[...new Set([...nodes, ...(node === null ? [] : [node])])].map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <select aria-label="Level" value={level} onChange={(event) => setLevel(event.target.value)}>
          {LEVELS.map((name) => (
            <option key={name} value={name}>
              {name === 'error' ? name : `${name} and above`}
            </option>
          ))}
        </select>
        <input
          type="search"
          aria-label="Text"
          placeholder="Text"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <label className={styles.events}>
          <input type="checkbox" checked={events} onChange={(event) => setEvents(event.target.checked)} />{' '}
          events
        </label>
      </div>
      {shown.length === 0 ? (
        <p className={`${styles.none ?? ''} muted`}>
          {lines.length === 0 ? 'Nothing was said yet.' : 'Nothing is like that.'}
        </p>
      ) : (
        <Lines lines={shown} onNode={onNode} />
      )}
    </div>
  );
}

/** The beginning of a long text: all of it is with the step. */
function cut(text: string): string {
  return text.length > LONG
    ? `${text.slice(0, LONG)}… (${text.length.toLocaleString('en')} characters)`
    : text;
}

function Lines({ lines, onNode }: { lines: readonly Line[]; onNode: (node: string) => void }) {
  const scroller = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    getItemKey: (index) => lines[index]?.id ?? index,
    overscan: 20,
  });
  useEffect(() => {
    if (following.current) rows.scrollToIndex(lines.length - 1, { align: 'end' });
  }, [lines.length, rows]);
  const scrolled = () => {
    const box = scroller.current;
    if (box) following.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
  };
  return (
    // A list that scrolls has to be reachable by the keyboard.

    <div
      ref={scroller}
      className={styles.lines}
      onScroll={scrolled}
      role="log"
      aria-label="Console"
      tabIndex={0}
    >
      <div className={styles.space} style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const line = lines[item.index];
          if (line === undefined) return null;
          return (
            <div
              key={line.id}
              ref={rows.measureElement}
              data-index={item.index}
              className={`${styles.line ?? ''} ${styles[line.level] ?? ''}`}
              style={{ transform: `translateY(${String(item.start)}px)` }}
            >
              <span className="muted">{clock.format(line.at)}</span>
              <button
                type="button"
                className={`${styles.step ?? ''} truncate`}
                onClick={() => onNode(line.node)}
              >
                {line.step}
              </button>
              <span>
                {line.level !== 'info' && line.level !== 'debug' && <b>{line.level} </b>}
                {cut(line.text)}
                {line.data !== null && <span className="muted"> {cut(JSON.stringify(line.data))}</span>}
              </span>
            </div>
          );
        })}
      </div>
    </div>
  );
}
