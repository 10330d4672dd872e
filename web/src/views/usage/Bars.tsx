import styles from './UsagePage.module.css';

interface Props {
  label: string;
  bars: readonly { day: string; value: number }[];
  text: (value: number) => string;
}

/** A bar for each day; the same as a table for whoever cannot see it. */
export function Bars({ label, bars, text }: Props) {
  const highest = Math.max(...bars.map((bar) => bar.value));
  return (
    <figure className={styles.bars}>
      <figcaption>
        <h2>{label}</h2>
      </figcaption>
      <div className={`${styles.axis ?? ''} muted`} aria-hidden>
        <span>{text(highest)}</span>
      </div>
      <div className={styles.plot} aria-hidden>
        {bars.map(({ day, value }) => (
          <div
            key={day}
            className={styles.bar}
            title={`${day}: ${text(value)}`}
            style={{ height: `${String(highest > 0 ? (value / highest) * 100 : 0)}%` }}
          />
        ))}
      </div>
      <div className={`${styles.axis ?? ''} muted`} aria-hidden>
        <span>{bars[0]?.day}</span>
        <span>{bars.at(-1)?.day}</span>
      </div>
      <table className="visually-hidden">
        <caption>{label}</caption>
        <tbody>
          {bars.map(({ day, value }) => (
            <tr key={day}>
              <th scope="row">{day}</th>
              <td>{text(value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}
