import { autocompletion, completionStatus, type CompletionContext } from '@codemirror/autocomplete';
import { EditorState } from '@codemirror/state';
import {
  Decoration,
  EditorView,
  keymap,
  MatchDecorator,
  placeholder,
  ViewPlugin,
  type DecorationSet,
  type KeyBinding,
  type ViewUpdate,
} from '@codemirror/view';
import { useContext } from 'react';

import { answered, complete } from '~/editor/completion';
import { WritingContext, type Writing } from '~/editor/place';
import { useCodeField, wiringOf } from '~/editor/useCodeMirror';

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
  const { invalid, value, multiline, hint, readOnly, onChange, onKeep } = props;
  const writing = useContext(WritingContext);
  const place = useCodeField(
    {
      value,
      readOnly,
      attributes: wiringOf(props, { 'aria-multiline': String(multiline) }),
      now: { writing, onKeep },
      special: (now) => [
        ...(multiline ? [EditorView.lineWrapping] : [oneLine, keymap.of([enter(() => now().onKeep())])]),
        expressions,
        placeholder(hint),
        autocompletion({ override: [(context) => completeText(context, now().writing)] }),
      ],
      onChange,
      onLeave: onKeep,
    },
    String(multiline),
  );
  return (
    <div
      ref={place}
      className={styles.input}
      data-lines={multiline ? 'many' : 'one'}
      data-invalid={invalid}
    />
  );
}

function enter(keep: () => void): KeyBinding {
  return {
    key: 'Enter',
    run: ({ state }) => {
      if (completionStatus(state) !== null) return false;
      keep();
      return true;
    },
  };
}

function completeText(context: CompletionContext, { text, known, place }: Writing) {
  const line = context.state.doc.lineAt(context.pos);
  const before = line.text.slice(0, context.pos - line.from);
  if (!before.includes('${')) return null;
  return answered(context, complete(text, before, known), known, () => place?.node ?? null);
}
