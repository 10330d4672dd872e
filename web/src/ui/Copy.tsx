import { Check, Copy as CopyIcon } from 'lucide-react';
import { useState } from 'react';

import { copyText } from '~/lib/clipboard';
import { IconButton } from '~/ui/Button';
import { useSay } from '~/ui/Toasts';

/** Puts a text into the clipboard; one that is long to make is made when it is wanted. */
export function Copy({ text, label }: { text: string | (() => string); label: string }) {
  const say = useSay();
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await copyText(typeof text === 'string' ? text : text());
    } catch {
      say('It could not be copied: select the text, and copy it yourself.');
      return;
    }
    setDone(true);
    setTimeout(() => setDone(false), 1_500);
  };
  return (
    <IconButton label={done ? 'Copied' : label} small onClick={copy}>
      {done ? <Check aria-hidden /> : <CopyIcon aria-hidden />}
    </IconButton>
  );
}
