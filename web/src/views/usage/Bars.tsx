import type { Bar } from '~/views/usage/days';

import styles from './UsagePage.module.css';

interface Props {
  label: string;
  bars: readonly Bar[];
  text: (value: number) => string;
}

/** A bar for each day; the same as a table for whoever cannot see it. */
export function Bars({ label, bars, text }: Props) {
  const highest = Math.max(...bars.map((bar) => bar.value));
  return (
    <figure className={styles.bars}>
      <figcaption className={styles.caption}>
        <h2>{label}</h2>
        <span className="muted">at most {text(highest)}</span>
      </figcaption>
      <div className={styles.plot} aria-hidden data-dense={bars.length > 60}>
        {bars.map(({ name, value }) => (
          <div key={name} className={styles.slot} title={`${name}: ${text(value)}`}>
            {value > 0 && (
              <div className={styles.bar} style={{ height: `${String((value / highest) * 100)}%` }} />
            )}
          </div>
        ))}
      </div>
      <div className={`${styles.axis ?? ''} muted`} aria-hidden>
        <span>{bars[0]?.name.slice(0, 10)}</span>
        <span>{bars.at(-1)?.name.slice(-10)}</span>
      </div>
      {/* Around it, since a table is as high as its rows whatever it is told. */}
      <div className="visually-hidden">
        <table>
          <caption>{label}</caption>
          <tbody>
            {bars.map(({ name, value }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{text(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </figure>
  );
}
