import { autocompletion, type CompletionContext } from '@codemirror/autocomplete';
import { javascript, localCompletionSource } from '@codemirror/lang-javascript';
import { syntaxTree } from '@codemirror/language';
import { useContext } from 'react';

import { answered, inExpression, type Completed } from '~/editor/completion';
import type { InputProps } from '~/editor/ExpressionInput';
import { globalsOf, membersOf, type HookName } from '~/editor/globals';
import { WritingContext, type Writing } from '~/editor/place';
import { code, useCodeField, wiringOf } from '~/editor/useCodeMirror';

import styles from './Fields.module.css';

type Props = Omit<InputProps, 'multiline' | 'hint'> & { hook: HookName };

/** JavaScript of a flow: with what the sandbox has, and what the last run had. */
export default function CodeEditor(props: Props) {
  const { invalid, value, readOnly, hook, onChange, onKeep } = props;
  const writing = useContext(WritingContext);
  const place = useCodeField(
    {
      value,
      readOnly,
      attributes: wiringOf(props),
      now: writing,
      special: (now) => [
        code(),
        javascript(),
        autocompletion({
          override: [(context) => completeScript(context, hook, now()), localCompletionSource],
        }),
      ],
      onChange,
      onLeave: onKeep,
    },
    hook,
  );
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
