import { lazy, Suspense, useEffect, useEffectEvent, useId, useState, type ReactNode } from 'react';
import { parse, stringify } from 'yaml';

import type { HookName } from '~/editor/globals';
import { ExpressionInput } from '~/editor/ExpressionInput';
import { PreviewLine } from '~/editor/PreviewLine';
import type { FormField } from '~/editor/schema';
import { Field, Select } from '~/ui/Field';
import { Skeleton } from '~/ui/Notes';

import styles from '~/ui/Field.module.css';

// A language of its own: only who writes scripts loads it.
const CodeEditor = lazy(() => import('~/editor/CodeEditor'));

const PAUSE_MS = 400;

interface Props {
  field: FormField;
  value: unknown;
  readOnly: boolean;
  /** What the server says is wrong with it. */
  fault?: string | null;
  /** JavaScript, with the scope of this hook. */
  script?: HookName;
  /** The list that `item` is of where the node goes through one itself; null for none. */
  each?: unknown;
  /** Undefined takes the parameter out. */
  onChange: (value: unknown) => void;
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : stringify(value, { lineWidth: 0 }).trimEnd();
}

/** A text as a value of the field's kind. An expression stays a text whatever the kind. */
function read(text: string, kind: FormField['kind']): unknown {
  if (text === '') return undefined;
  if (kind === 'text' || kind === 'lines') return text;
  if (/^\$\{[^]*\}$/.test(text.trim()) || (kind !== 'yaml' && text.includes('${'))) return text;
  return parse(text);
}

function readable(text: string, kind: FormField['kind']): { value: unknown } | { problem: string } {
  try {
    return { value: read(text, kind) };
  } catch (error) {
    return {
      problem: error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : 'It cannot be read.',
    };
  }
}

interface Typed {
  kept: string;
  text: string;
  /** What was kept last from here: when it comes back from the document, one may be writing on already. */
  sent: string | null;
  problem: string | null;
}

/** What is typed into a field, and what is wrong with it; both begin anew when the document says something else. */
function useTyped(kept: string) {
  const [state, setState] = useState<Typed>({ kept, text: kept, sent: null, problem: null });
  const begun: Typed =
    state.kept === kept
      ? state
      : state.sent === kept
        ? { ...state, kept, sent: null }
        : { kept, text: kept, sent: null, problem: null };
  if (begun !== state) setState(begun);
  const change = (some: Partial<Typed>) => setState((before) => ({ ...before, ...some }));
  return [begun, change] as const;
}

/** One parameter of a node. What is typed goes into the document as soon as one pauses. */
export function ParamField({ field, value, readOnly, fault = null, script, each, onChange }: Props) {
  const kept = shown(value);
  const [{ text, problem }, change] = useTyped(kept);
  const keep = (quiet: boolean) => {
    if (text === kept) return;
    const found = readable(text, field.kind);
    if ('problem' in found) {
      if (!quiet) change({ problem: found.problem });
      return;
    }
    change({ sent: shown(found.value), problem: null });
    onChange(found.value);
  };
  const keepQuietly = useEffectEvent(() => keep(true));
  useEffect(() => {
    if (text === kept || readOnly) return undefined;
    const timer = setTimeout(() => keepQuietly(), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, kept, readOnly]);
  const label = field.required ? `${field.title} (needed)` : field.title;
  const isExpression = typeof value === 'string' && value.includes('${');
  const initial = field.initial === undefined || field.initial === null ? '' : shown(field.initial);
  const error = problem ?? fault;
  if ((field.kind === 'boolean' || field.kind === 'choice') && !isExpression) {
    const choices = field.kind === 'boolean' ? ['true', 'false'] : field.choices;
    return (
      <Select
        label={label}
        hint={field.hint}
        error={error}
        disabled={readOnly}
        value={typeof value === 'boolean' || typeof value === 'string' ? String(value) : ''}
        choices={[
          { value: '', label: initial ? `default: ${initial}` : 'not set' },
          ...choices.map((choice) => ({ value: choice, label: choice })),
        ]}
        onChange={({ target }) => onChange(target.value === '' ? undefined : read(target.value, field.kind))}
      />
    );
  }
  const found = readable(text, field.kind);
  return (
    <TypedField
      label={label}
      hint={field.hint}
      error={error}
      preview={(id) => !script && 'value' in found && <PreviewLine id={id} value={found.value} each={each} />}
    >
      {(wiring) => {
        const input = {
          ...wiring,
          value: text,
          readOnly,
          onChange: (next: string) => change({ text: next, problem: null }),
          onKeep: () => keep(false),
        };
        if (script)
          return (
            <Suspense fallback={<Skeleton lines={3} />}>
              <CodeEditor {...input} hook={script} />
            </Suspense>
          );
        const multiline = field.kind === 'yaml' || field.kind === 'lines' || kept.includes('\n');
        return <ExpressionInput {...input} multiline={multiline} hint={initial} />;
      }}
    </TypedField>
  );
}

interface TypedProps {
  label: string;
  hint: string;
  error: string | null;
  preview: (id: string) => ReactNode;
  children: (wiring: { label: string; describedBy: string; invalid: boolean }) => ReactNode;
}

/** A name, what is written, what it would give, and what is wrong with it. */
function TypedField({ label, hint, error, preview, children }: TypedProps) {
  const id = useId();
  return (
    <div className={styles.field}>
      <span className={styles.label} id={id}>
        {label}
      </span>
      {children({ label: id, describedBy: `${id}-said ${id}-gives`, invalid: error !== null })}
      {preview(`${id}-gives`)}
      {error !== null ? (
        <p className={styles.error} id={`${id}-said`} role="alert">
          {error}
        </p>
      ) : (
        hint && (
          <p className={styles.hint} id={`${id}-said`}>
            {hint}
          </p>
        )
      )}
    </div>
  );
}

interface NodeFieldProps {
  label: string;
  hint?: string;
  value: string;
  readOnly: boolean;
  onKeep: (value: string) => string | null;
}

/** A field of the node that is no parameter, such as its name: kept when one leaves it. */
export function NodeField({ label, hint, value, readOnly, onKeep }: NodeFieldProps) {
  const [{ text, problem }, change] = useTyped(value);
  const keep = () => {
    if (text !== value) change({ problem: onKeep(text) });
  };
  return (
    <Field label={label} hint={hint} error={problem}>
      {(wiring) => (
        <input
          {...wiring}
          disabled={readOnly}
          value={text}
          spellCheck={false}
          onChange={(event) => change({ text: event.target.value })}
          onBlur={keep}
          onKeyDown={(event) => {
            if (event.key === 'Enter') keep();
          }}
        />
      )}
    </Field>
  );
}
