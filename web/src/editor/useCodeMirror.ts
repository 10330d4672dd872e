/** What all editors of code and text have in common: they are made once, and kept up to what is said of them. */
import { closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { bracketMatching, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { Compartment, EditorState, type Extension } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { useEffect, useEffectEvent, useRef, type RefObject } from 'react';

import { colours, theme } from '~/editor/look';

interface State {
  readOnly: boolean;
  /** Attributes of the text, such as what names it. */
  attributes: Readonly<Record<string, string>>;
}

interface Wish<Now> extends State {
  /** What it begins with. */
  value: string;
  /** What is special about it, asked for when it is made; `now` gives later what is given here as `now` by then. */
  special: (now: () => Now) => Extension[];
  now: Now;
  onChange: (text: string) => void;
  onLeave?: () => void;
}

/** Lines with numbers, in which Tab indents. */
export function code(): Extension[] {
  return [
    lineNumbers(),
    indentOnInput(),
    bracketMatching(),
    highlightActiveLine(),
    syntaxHighlighting(colours),
    // Escape, then Tab, leaves the editor: WCAG 2.1.2.
    keymap.of([indentWithTab]),
  ];
}

function stateOf({ readOnly, attributes }: State): Extension {
  return [EditorState.readOnly.of(readOnly), EditorView.contentAttributes.of({ ...attributes })];
}

/** An editor in a place of the page. It is made anew for another `kind` only: what was typed must not be lost. */
export function useCodeMirror<Now>(
  wish: Wish<Now>,
  kind = '',
): [RefObject<HTMLDivElement | null>, RefObject<EditorView | null>] {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const states = useRef(new Compartment());
  const latest = useRef(wish.now);
  useEffect(() => {
    latest.current = wish.now;
  });
  const changed = useEffectEvent((text: string) => wish.onChange(text));
  const left = useEffectEvent(() => wish.onLeave?.());
  const made = useEffectEvent((parent: HTMLElement) => {
    const extensions = [
      // What is special comes first: its keys are asked before the usual ones.
      wish.special(() => latest.current),
      history(),
      drawSelection(),
      closeBrackets(),
      theme,
      states.current.of(stateOf(wish)),
      EditorView.updateListener.of(({ docChanged, state }) => docChanged && changed(state.doc.toString())),
      EditorView.domEventHandlers({ blur: () => left() }),
      keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
    ];
    return new EditorView({ parent, state: EditorState.create({ doc: wish.value, extensions }) });
  });
  useEffect(() => {
    if (place.current === null) return undefined;
    const shown = made(place.current);
    view.current = shown;
    return () => {
      shown.destroy();
      view.current = null;
    };
  }, [kind]);
  const said = JSON.stringify({ readOnly: wish.readOnly, attributes: wish.attributes });
  useEffect(() => {
    const now = stateOf(JSON.parse(said) as State);
    view.current?.dispatch({ effects: states.current.reconfigure(now) });
  }, [said]);
  return [place, view];
}

/** The same for a field of a form: it shows what its value has become elsewhere, too. */
export function useCodeField<Now>(wish: Wish<Now>, kind?: string): RefObject<HTMLDivElement | null> {
  const { value } = wish;
  const [place, view] = useCodeMirror(wish, kind);
  useEffect(() => {
    const shown = view.current;
    if (shown && shown.state.doc.toString() !== value)
      shown.dispatch({ changes: { from: 0, to: shown.state.doc.length, insert: value } });
  }, [value, view]);
  return place;
}

/** How a field's text is named and described to who does not see it. */
export function wiringOf(
  {
    label,
    describedBy,
    invalid = false,
    readOnly,
  }: {
    label: string;
    describedBy?: string | undefined;
    invalid?: boolean;
    readOnly: boolean;
  },
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    'aria-labelledby': label,
    ...more,
    ...(describedBy && { 'aria-describedby': describedBy }),
    ...(invalid && { 'aria-invalid': 'true' }),
    ...(readOnly && { 'aria-readonly': 'true', tabindex: '0' }),
  };
}
