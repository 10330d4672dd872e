import type { ComponentProps, ReactNode } from 'react';

import styles from './Button.module.css';

export type ButtonLook = 'plain' | 'primary' | 'danger' | 'quiet';

interface Looks {
  look?: ButtonLook;
  small?: boolean;
}

/** The classes of a button, for links that look like one. */
export function buttonClass({ look = 'plain', small = false }: Looks = {}, square = false): string {
  return [styles.button, styles[look], small && styles.small, square && styles.square]
    .filter(Boolean)
    .join(' ');
}

type Props = ComponentProps<'button'> & Looks & { busy?: boolean };

/** A button. While it is `busy` it cannot be pressed again. */
export function Button({ look, small, busy = false, className, children, disabled, ...rest }: Props) {
  const looks: Looks = { ...(look && { look }), ...(small && { small }) };
  return (
    <button
      type="button"
      {...rest}
      disabled={disabled === true || busy}
      aria-busy={busy || undefined}
      className={[buttonClass(looks), className].filter(Boolean).join(' ')}
    >
      {children}
    </button>
  );
}

/** A button that shows an icon only; `label` is its name. */
export function IconButton({
  label,
  children,
  look = 'quiet',
  small,
  className,
  ...rest
}: Props & { label: string; children: ReactNode }) {
  return (
    <button
      type="button"
      {...rest}
      aria-label={label}
      title={label}
      className={[buttonClass({ look, ...(small && { small }) }, true), className].filter(Boolean).join(' ')}
    >
      {children}
    </button>
  );
}
