import { useEffect, useEffectEvent, type RefObject } from 'react';

export interface Keys {
  copy: () => string | null;
  cut: () => string | null;
  /** Whether there was something in the text. */
  paste: (text: string) => boolean;
  duplicate: () => void;
  selectAll: () => void;
  undo: () => void;
  redo: () => void;
  save: () => void;
}

const WRITES = 'input, textarea, select, [contenteditable="true"], [role="dialog"] *';

/** The clipboard and the keys of the canvas, wherever in the editor one is, unless one writes there. */
export function useKeys(place: RefObject<HTMLElement | null>, keys: Keys) {
  const elsewhere = (target: EventTarget | null) => {
    if (!(target instanceof Element) || target.matches(WRITES)) return true;
    return target !== document.body && place.current?.contains(target) !== true;
  };
  const onCopy = useEffectEvent((event: ClipboardEvent) => {
    // Text that is marked somewhere is what is meant.
    if (elsewhere(event.target) || getSelection()?.isCollapsed === false) return;
    const text = event.type === 'cut' ? keys.cut() : keys.copy();
    if (text === null) return;
    event.clipboardData?.setData('text/plain', text);
    event.preventDefault();
  });
  const onPaste = useEffectEvent((event: ClipboardEvent) => {
    if (elsewhere(event.target)) return;
    if (keys.paste(event.clipboardData?.getData('text/plain') ?? '')) event.preventDefault();
  });
  const save = useEffectEvent(() => keys.save());
  const onKey = useEffectEvent((event: KeyboardEvent) => {
    if (event.defaultPrevented || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === 's' && document.querySelector('[role="dialog"]') === null) {
      event.preventDefault();
      keepWhatIsWritten();
      setTimeout(() => save());
      return;
    }
    if (elsewhere(event.target)) return;
    const { redo, undo, duplicate, selectAll } = keys;
    const acts: Record<string, () => void> = {
      z: event.shiftKey ? redo : undo,
      y: redo,
      d: duplicate,
      a: selectAll,
    };
    const act = acts[key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  });
  useEffect(() => {
    const copy = (event: ClipboardEvent) => onCopy(event);
    const paste = (event: ClipboardEvent) => onPaste(event);
    const key = (event: KeyboardEvent) => onKey(event);
    document.addEventListener('copy', copy);
    document.addEventListener('cut', copy);
    document.addEventListener('paste', paste);
    document.addEventListener('keydown', key);
    return () => {
      document.removeEventListener('copy', copy);
      document.removeEventListener('cut', copy);
      document.removeEventListener('paste', paste);
      document.removeEventListener('keydown', key);
    };
  }, []);
}

/** A field keeps what was typed when one leaves it. */
function keepWhatIsWritten() {
  const active = document.activeElement;
  if (!(active instanceof HTMLElement)) return;
  active.blur();
  active.focus();
}
