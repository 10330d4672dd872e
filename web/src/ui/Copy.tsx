import { Check, Copy as CopyIcon } from 'lucide-react';
import { useState } from 'react';

import { IconButton } from '~/ui/Button';

/** Puts a text into the clipboard. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1_500);
  };
  return (
    <IconButton label={done ? 'Copied' : label} small onClick={copy}>
      {done ? <Check aria-hidden /> : <CopyIcon aria-hidden />}
    </IconButton>
  );
}
