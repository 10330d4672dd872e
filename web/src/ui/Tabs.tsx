import { Tabs as Radix } from 'radix-ui';
import type { ReactNode } from 'react';

import styles from './Tabs.module.css';

export interface Tab {
  id: string;
  label: string;
  content: ReactNode;
}

interface Props {
  label: string;
  tabs: readonly Tab[];
  value?: string;
  onChange?: (id: string) => void;
}

/** Some views of one thing, one at a time. */
export function Tabs({ label, tabs, value, onChange }: Props) {
  const [first] = tabs;
  return (
    <Radix.Root
      className={styles.root}
      {...(value === undefined ? { defaultValue: first?.id ?? '' } : { value })}
      {...(onChange && { onValueChange: onChange })}
    >
      <Radix.List className={styles.list} aria-label={label}>
        {tabs.map((tab) => (
          <Radix.Trigger key={tab.id} value={tab.id} className={styles.tab}>
            {tab.label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map((tab) => (
        <Radix.Content key={tab.id} value={tab.id} className={styles.content}>
          {tab.content}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}
