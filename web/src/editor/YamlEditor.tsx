import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from '@codemirror/autocomplete';
import {
  defaultKeymap,
  history,
  historyKeymap,
  indentWithTab,
  isolateHistory,
  redo,
  undo,
} from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import {
  bracketMatching,
  foldGutter,
  foldKeymap,
  indentOnInput,
  syntaxHighlighting,
} from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { useEffect, useImperativeHandle, useRef, type Ref } from 'react';

import type { Problem } from '~/editor/problems';

import { completeWith, type Known } from './completion';
import { colours, theme } from './look';
import styles from './Editor.module.css';

export interface EditorHandle {
  /** The document as it is now, with what was typed since it was last drawn. */
  text: () => string;
  /** Put other text in the place of all; only what differs is touched, and it can be undone. */
  replace: (text: string) => void;
  undo: () => void;
  redo: () => void;
  goTo: (line: number) => void;
}

interface Props {
  initial: string;
  readOnly?: boolean;
  problems: readonly Problem[];
  known: Known;
  onChange: (text: string) => void;
  onSave: () => void;
  ref: Ref<EditorHandle>;
}

const tall = EditorView.theme({ '&': { height: '100%' } });

/** A flow's document as text. It is the one truth: whatever the canvas does comes here, and is undone here. */
export function YamlEditor({ initial, readOnly = false, problems, known, onChange, onSave, ref }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const calls = useRef({ onChange, onSave, known });
  useEffect(() => {
    calls.current = { onChange, onSave, known };
  });
  useEffect(() => {
    if (place.current === null) return undefined;
    const made = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: initial,
        extensions: [
          lineNumbers(),
          foldGutter(),
          lintGutter(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          autocompletion({ override: [(context) => completeWith(context, calls.current.known)] }),
          yaml(),
          syntaxHighlighting(colours),
          theme,
          tall,
          EditorState.readOnly.of(readOnly),
          EditorView.contentAttributes.of({ 'aria-label': 'Document (YAML)', tabindex: '0' }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) calls.current.onChange(update.state.doc.toString());
          }),
          keymap.of([
            { key: 'Mod-s', preventDefault: true, run: () => (calls.current.onSave(), true) },
            ...closeBracketsKeymap,
            ...defaultKeymap,
            ...historyKeymap,
            ...foldKeymap,
            ...completionKeymap,
            ...lintKeymap,
            // Escape, then Tab, leaves the editor: WCAG 2.1.2.
            indentWithTab,
          ]),
        ],
      }),
    });
    view.current = made;
    return () => {
      made.destroy();
      view.current = null;
    };
    // Made once: afterwards the document is the editor's own.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  useEffect(() => {
    const made = view.current;
    if (made)
      made.dispatch(
        setDiagnostics(
          made.state,
          problems.map((problem) => diagnostic(made.state, problem)),
        ),
      );
  }, [problems]);
  useImperativeHandle(
    ref,
    () => ({
      text: () => view.current?.state.doc.toString() ?? '',
      replace: (text) => {
        if (view.current) dispatchDifference(view.current, text);
      },
      undo: () => {
        if (view.current) undo(view.current);
      },
      redo: () => {
        if (view.current) redo(view.current);
      },
      goTo: (line) => {
        const made = view.current;
        if (!made) return;
        const { from } = made.state.doc.line(Math.max(1, Math.min(line, made.state.doc.lines)));
        made.dispatch({
          selection: { anchor: from },
          effects: EditorView.scrollIntoView(from, { y: 'center' }),
        });
      },
    }),
    [],
  );
  return <div ref={place} className={styles.yaml} />;
}

function diagnostic(state: EditorState, { line, message, severity }: Problem): Diagnostic {
  const { from, to, text } = state.doc.line(Math.max(1, Math.min(line ?? 1, state.doc.lines)));
  return { from: from + (text.length - text.trimStart().length), to, message, severity };
}

function dispatchDifference(view: EditorView, text: string): void {
  const before = view.state.doc.toString();
  if (before === text) return;
  let head = 0;
  const shorter = Math.min(before.length, text.length);
  while (head < shorter && before[head] === text[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === text.at(-1 - tail)) tail += 1;
  view.dispatch({
    changes: { from: head, to: before.length - tail, insert: text.slice(head, text.length - tail) },
    userEvent: 'input.canvas',
    // One thing that somebody did is one thing to undo, however quickly the next one follows.
    annotations: isolateHistory.of('full'),
  });
}
