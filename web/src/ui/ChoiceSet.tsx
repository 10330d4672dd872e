import { Checkbox } from '~/ui/Field';

import styles from './ChoiceSet.module.css';

interface Props<T extends string> {
  legend: string;
  choices: readonly T[];
  chosen: ReadonlySet<T>;
  onChange: (chosen: ReadonlySet<T>) => void;
}

/** Any of some words: a box for each. */
export function ChoiceSet<T extends string>({ legend, choices, chosen, onChange }: Props<T>) {
  const choose = (choice: T, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(choice);
    else next.delete(choice);
    onChange(next);
  };
  return (
    <fieldset className={styles.set}>
      <legend>{legend}</legend>
      {choices.map((choice) => (
        <Checkbox
          key={choice}
          label={choice}
          checked={chosen.has(choice)}
          onChange={(event) => choose(choice, event.target.checked)}
        />
      ))}
    </fieldset>
  );
}
