import { X } from 'lucide-react';
import { Toast } from 'radix-ui';
import { createContext, use, useCallback, useMemo, useState, type ReactNode } from 'react';

import { IconButton } from '~/ui/Button';

import styles from './Toasts.module.css';

interface Said {
  id: number;
  text: string;
}

const Say = createContext<(text: string) => void>(() => undefined);

/** Says something that needs no answer, for some seconds. */
export function useSay(): (text: string) => void {
  return use(Say);
}

export function Toasts({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState<readonly Said[]>([]);
  const [, setNext] = useState(0);
  const drop = useCallback((id: number) => setSaid((all) => all.filter((one) => one.id !== id)), []);
  const say = useCallback((text: string) => {
    setNext((id) => {
      setSaid((all) => [...all.filter((one) => one.id !== id).slice(-2), { id, text }]);
      return id + 1;
    });
  }, []);
  const context = useMemo(() => say, [say]);
  return (
    <Say value={context}>
      <Toast.Provider duration={5_000}>
        {children}
        {said.map(({ id, text }) => (
          <Toast.Root key={id} className={styles.toast} onOpenChange={(open) => !open && drop(id)}>
            <Toast.Description>{text}</Toast.Description>
            <Toast.Close asChild>
              <IconButton label="Dismiss" small>
                <X aria-hidden />
              </IconButton>
            </Toast.Close>
          </Toast.Root>
        ))}
        <Toast.Viewport className={styles.view} />
      </Toast.Provider>
    </Say>
  );
}
