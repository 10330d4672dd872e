import { useState } from 'react';
import { parse, stringify } from 'yaml';

import type { FormField } from '~/editor/schema';
import { Field, Select, TextArea, TextField } from '~/ui/Field';

interface Props {
  field: FormField;
  value: unknown;
  readOnly: boolean;
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
  if (kind === 'text' || kind === 'lines' || text.includes('${')) {
    return kind === 'yaml' && !/^\$\{[^}]*\}$/.test(text.trim()) ? parse(text) : text;
  }
  return parse(text);
}

/** What is typed into a field, and what is wrong with it; both begin anew when the document says something else. */
function useTyped(kept: string) {
  const [state, setState] = useState<{ kept: string; text: string; problem: string | null }>({
    kept,
    text: kept,
    problem: null,
  });
  if (state.kept !== kept) setState({ kept, text: kept, problem: null });
  return [
    state.kept === kept ? state.text : kept,
    (text: string) => setState((before) => ({ ...before, text })),
    state.problem,
    (problem: string | null) => setState((before) => ({ ...before, problem })),
  ] as const;
}

/** One parameter of a node. What is typed goes into the document when one leaves the field. */
export function ParamField({ field, value, readOnly, onChange }: Props) {
  const [text, setText, problem, setProblem] = useTyped(shown(value));
  const label = field.required ? `${field.title} (needed)` : field.title;
  const keep = (next: string) => {
    if (next === shown(value)) return;
    try {
      onChange(read(next, field.kind));
      setProblem(null);
    } catch (error) {
      setProblem(error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : 'It cannot be read.');
    }
  };
  const common = { label, hint: field.hint, error: problem, disabled: readOnly };
  const isExpression = typeof value === 'string' && value.includes('${');
  const placeholder = field.initial === undefined || field.initial === null ? '' : shown(field.initial);
  if (field.kind === 'boolean' && !isExpression) {
    return (
      <Select
        {...common}
        value={value === true ? 'true' : value === false ? 'false' : ''}
        choices={[
          { value: '', label: placeholder ? `default: ${placeholder}` : 'default' },
          { value: 'true', label: 'true' },
          { value: 'false', label: 'false' },
        ]}
        onChange={(event) => onChange(event.target.value === '' ? undefined : event.target.value === 'true')}
      />
    );
  }
  if (field.kind === 'choice' && !isExpression) {
    return (
      <Select
        {...common}
        value={typeof value === 'string' ? value : ''}
        choices={[
          { value: '', label: placeholder ? `default: ${placeholder}` : 'not set' },
          ...field.choices.map((choice) => ({ value: choice, label: choice })),
        ]}
        onChange={(event) => onChange(event.target.value || undefined)}
      />
    );
  }
  const typing = {
    value: text,
    placeholder,
    spellCheck: false,
    onChange: (event: { target: { value: string } }) => setText(event.target.value),
    onBlur: () => keep(text),
  };
  if (field.kind === 'yaml' || field.kind === 'lines' || text.includes('\n')) {
    return <TextArea {...common} {...typing} rows={Math.min(12, Math.max(2, text.split('\n').length))} />;
  }
  return (
    <TextField
      {...common}
      {...typing}
      onKeyDown={(event) => {
        if (event.key === 'Enter') keep(text);
      }}
    />
  );
}

/** A field of the node that is no parameter, such as its name. */
export function NodeField({
  label,
  hint,
  value,
  readOnly,
  onKeep,
}: {
  label: string;
  hint?: string;
  value: string;
  readOnly: boolean;
  onKeep: (value: string) => string | null;
}) {
  const [text, setText, problem, setProblem] = useTyped(value);
  const keep = () => {
    if (text !== value) setProblem(onKeep(text));
  };
  return (
    <Field label={label} hint={hint} error={problem}>
      {(wiring) => (
        <input
          {...wiring}
          disabled={readOnly}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onBlur={keep}
          onKeyDown={(event) => {
            if (event.key === 'Enter') keep();
          }}
        />
      )}
    </Field>
  );
}
