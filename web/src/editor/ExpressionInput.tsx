import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  completionStatus,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { Compartment, EditorState, type Extension } from '@codemirror/state';
import {
  Decoration,
  drawSelection,
  EditorView,
  keymap,
  MatchDecorator,
  placeholder,
  ViewPlugin,
  type DecorationSet,
  type ViewUpdate,
} from '@codemirror/view';
import { useContext, useEffect, useRef } from 'react';

import { answered, complete } from '~/editor/completion';
import { theme } from '~/editor/look';
import { WritingContext } from '~/editor/place';

import styles from './Fields.module.css';

export interface InputProps {
  /** The id of what names it. */
  label: string;
  describedBy?: string | undefined;
  invalid?: boolean;
  value: string;
  multiline: boolean;
  hint: string;
  readOnly: boolean;
  onChange: (text: string) => void;
  /** One has left it, or pressed Enter in a single line. */
  onKeep: () => void;
}

const marks = new MatchDecorator({
  regexp: /\$\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}?/g,
  decoration: Decoration.mark({ class: 'cm-expression' }),
});

/** Lets expressions stand out from the text around them. */
const expressions = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;
    constructor(view: EditorView) {
      this.decorations = marks.createDeco(view);
    }
    update(update: ViewUpdate) {
      this.decorations = marks.updateDeco(update, this.decorations);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

const oneLine = EditorState.transactionFilter.of((change) =>
  change.docChanged && change.newDoc.lines > 1
    ? [
        change,
        {
          changes: {
            from: 0,
            to: change.newDoc.length,
            insert: change.newDoc.toString().replaceAll(/\s*\n\s*/g, ' '),
          },
          sequential: true,
        },
      ]
    : change,
);

/** A field for text with expressions in it: they are completed as they are in the document. */
export function ExpressionInput(props: InputProps) {
  const { label, describedBy, invalid, value, multiline, hint, readOnly } = props;
  const writing = useContext(WritingContext);
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const attributes = useRef(new Compartment());
  const calls = useRef({ ...props, writing });
  useEffect(() => {
    calls.current = { ...props, writing };
  });
  const wiring = EditorView.contentAttributes.of({
    'aria-labelledby': label,
    'aria-multiline': String(multiline),
    ...(describedBy && { 'aria-describedby': describedBy }),
    ...(invalid && { 'aria-invalid': 'true' }),
    ...(readOnly && { 'aria-readonly': 'true', tabindex: '0' }),
  });
  const made = useRef<Extension>(wiring);
  useEffect(() => {
    if (place.current === null) return undefined;
    const created = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: value,
        extensions: [
          ...(multiline ? [EditorView.lineWrapping] : [oneLine]),
          history(),
          drawSelection(),
          closeBrackets(),
          expressions,
          theme,
          placeholder(hint),
          EditorState.readOnly.of(readOnly),
          attributes.current.of(made.current),
          autocompletion({
            override: [
              (context) => {
                const { text, known, place: where } = calls.current.writing;
                const line = context.state.doc.lineAt(context.pos);
                const before = line.text.slice(0, context.pos - line.from);
                if (!before.includes('${')) return null;
                return answered(context, complete(text, before, known), known, () => where?.node ?? null);
              },
            ],
          }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) calls.current.onChange(update.state.doc.toString());
          }),
          EditorView.domEventHandlers({ blur: () => calls.current.onKeep() }),
          keymap.of([
            ...closeBracketsKeymap,
            ...completionKeymap,
            ...(multiline
              ? []
              : [
                  {
                    key: 'Enter',
                    run: (editor: EditorView) => {
                      if (completionStatus(editor.state) !== null) return false;
                      calls.current.onKeep();
                      return true;
                    },
                  },
                ]),
            ...historyKeymap,
            ...defaultKeymap,
          ]),
        ],
      }),
    });
    view.current = created;
    return () => {
      created.destroy();
      view.current = null;
    };
    // Made anew only where it is another kind of field; what it says is kept up below.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [multiline, readOnly]);
  useEffect(() => {
    made.current = wiring;
    view.current?.dispatch({ effects: attributes.current.reconfigure(wiring) });
    // eslint-disable-next-line react-hooks/exhaustive-deps -- of these it is made
  }, [label, describedBy, invalid, readOnly, multiline]);
  useEffect(() => {
    const shown = view.current;
    if (shown && shown.state.doc.toString() !== value)
      shown.dispatch({ changes: { from: 0, to: shown.state.doc.length, insert: value } });
  }, [value]);
  return (
    <div
      ref={place}
      className={styles.input}
      data-lines={multiline ? 'many' : 'one'}
      data-invalid={invalid}
    />
  );
}
