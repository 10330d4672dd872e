import { autocompletion } from '@codemirror/autocomplete';
import { isolateHistory, redo, undo } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import { foldGutter, foldKeymap } from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import type { EditorState } from '@codemirror/state';
import { EditorView, keymap } from '@codemirror/view';
import { useEffect, useImperativeHandle, type Ref } from 'react';

import type { Problem } from '~/editor/problems';
import { code, useCodeMirror } from '~/editor/useCodeMirror';

import { completeWith, type Known } from './completion';
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
  const [place, view] = useCodeMirror({
    value: initial,
    readOnly,
    attributes: { 'aria-label': 'Document (YAML)', tabindex: '0' },
    now: { known, onSave },
    special: (now) => [
      code(),
      yaml(),
      foldGutter(),
      lintGutter(),
      search({ top: true }),
      highlightSelectionMatches(),
      tall,
      autocompletion({ override: [(context) => completeWith(context, now().known)] }),
      keymap.of([
        { key: 'Mod-s', preventDefault: true, run: () => (now().onSave(), true) },
        ...searchKeymap,
        ...foldKeymap,
        ...lintKeymap,
      ]),
    ],
    onChange,
  });
  useEffect(() => {
    const made = view.current;
    if (made)
      made.dispatch(
        setDiagnostics(
          made.state,
          problems.map((problem) => diagnostic(made.state, problem)),
        ),
      );
  }, [problems, view]);
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
        // The cursor stands there: who came by the keyboard goes on by it.
        made.focus();
      },
    }),
    [view],
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
