import { EllipsisVertical, type LucideIcon } from 'lucide-react';
import { DropdownMenu } from 'radix-ui';
import type { ReactNode } from 'react';

import { IconButton } from '~/ui/Button';

import styles from './Menu.module.css';

export interface MenuItem {
  label: string;
  icon?: LucideIcon;
  danger?: boolean;
  disabled?: boolean;
  /** Why it cannot be done here; said beneath the label. */
  reason?: string | false | null;
  onSelect: () => void;
}

/** What can be done with a thing. `trigger` opens it; three dots where there is none. */
export function Menu({
  label,
  items,
  trigger,
}: {
  label: string;
  items: readonly (MenuItem | null)[];
  trigger?: ReactNode;
}) {
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger asChild>
        {trigger ?? (
          <IconButton label={label} small>
            <EllipsisVertical aria-hidden />
          </IconButton>
        )}
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className={styles.menu} align="end" sideOffset={4}>
          {items.map((item, index) =>
            item === null ? (
              <DropdownMenu.Separator key={index} className={styles.line} />
            ) : (
              <DropdownMenu.Item
                key={item.label}
                className={[styles.item, item.danger && styles.danger].filter(Boolean).join(' ')}
                disabled={item.disabled === true || Boolean(item.reason)}
                onSelect={item.onSelect}
              >
                {item.icon && <item.icon aria-hidden />}
                <span>
                  {item.label}
                  {item.reason && <span className={styles.reason}>{item.reason}</span>}
                </span>
              </DropdownMenu.Item>
            ),
          )}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
