import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  type CompletionContext,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { javascript, localCompletionSource } from '@codemirror/lang-javascript';
import { bracketMatching, indentOnInput, syntaxHighlighting, syntaxTree } from '@codemirror/language';
import { Compartment, EditorState } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from '@codemirror/view';
import { useContext, useEffect, useRef } from 'react';

import { answered, inExpression, type Completed } from '~/editor/completion';
import type { InputProps } from '~/editor/ExpressionInput';
import { globalsOf, membersOf, type HookName } from '~/editor/globals';
import { colours, theme } from '~/editor/look';
import { WritingContext, type Writing } from '~/editor/place';

import styles from './Fields.module.css';

type Props = Omit<InputProps, 'multiline' | 'hint'> & { hook: HookName };

/** JavaScript of a flow: with what the sandbox has, and what the last run had. */
export default function CodeEditor(props: Props) {
  const { label, describedBy, invalid, value, readOnly, hook } = props;
  const writing = useContext(WritingContext);
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const attributes = useRef(new Compartment());
  const calls = useRef({ ...props, writing });
  useEffect(() => {
    calls.current = { ...props, writing };
  });
  useEffect(() => {
    if (place.current === null) return undefined;
    const made = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: value,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          javascript(),
          syntaxHighlighting(colours),
          theme,
          EditorState.readOnly.of(readOnly),
          attributes.current.of([]),
          autocompletion({
            override: [
              (context) => completeScript(context, hook, calls.current.writing),
              localCompletionSource,
            ],
          }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) calls.current.onChange(update.state.doc.toString());
          }),
          EditorView.domEventHandlers({ blur: () => calls.current.onKeep() }),
          keymap.of([
            ...closeBracketsKeymap,
            ...completionKeymap,
            ...historyKeymap,
            ...defaultKeymap,
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
    // Made anew only for another hook; what it says is kept up below.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [hook, readOnly]);
  useEffect(() => {
    const wiring = EditorView.contentAttributes.of({
      'aria-labelledby': label,
      ...(describedBy && { 'aria-describedby': describedBy }),
      ...(invalid && { 'aria-invalid': 'true' }),
      ...(readOnly && { 'aria-readonly': 'true', tabindex: '0' }),
    });
    view.current?.dispatch({ effects: attributes.current.reconfigure(wiring) });
  }, [label, describedBy, invalid, readOnly, hook]);
  useEffect(() => {
    const shown = view.current;
    if (shown && shown.state.doc.toString() !== value)
      shown.dispatch({ changes: { from: 0, to: shown.state.doc.length, insert: value } });
  }, [value]);
  return <div ref={place} className={styles.input} data-lines="many" data-invalid={invalid} />;
}

function completeScript(context: CompletionContext, hook: HookName, { text, known, place }: Writing) {
  const where = syntaxTree(context.state).resolveInner(context.pos, -1).name;
  if (/Comment|String|RegExp/.test(where) && where !== 'TemplateString') return null;
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  // A hook's `input` is the node's: what came along the edge, if it is no start.
  const follows = place !== null && place.after.length > 0;
  const asked = before.slice(before.lastIndexOf('${') + 1);
  const found = scriptAt(asked, hook, text, follows ? { ...known, inputs: [] } : known);
  if (follows && found?.path !== undefined) found.path = found.path.replace(/^input\b/, 'prev');
  // Locals must not be hidden where nothing is written yet.
  if (
    found === null ||
    (found.word === '' && found.path === undefined && !before.endsWith('.') && !context.explicit)
  )
    return null;
  return answered(context, found, known, () => place?.node ?? null);
}

/** Completions behind the beginning of a line of a script. */
export function scriptAt(
  before: string,
  hook: HookName,
  text: string,
  known: Writing['known'],
): Completed | null {
  const [, owner, word] = /(?:^|[^\w$.])([A-Z]\w*)\.(\w*)$/.exec(before) ?? [];
  if (owner !== undefined) return { word: word ?? '', eager: true, options: membersOf(owner) };
  return inExpression(text, before, known, globalsOf(hook));
}
