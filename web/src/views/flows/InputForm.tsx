import { useState } from 'react';

import { Checkbox, Select, TextArea, TextField } from '~/ui/Field';
import { readInput, readJson, type InputSchema, type Property, type Read } from '~/views/flows/inputs';

export interface Input {
  schema: InputSchema;
  texts: Readonly<Record<string, string | boolean>>;
  json: string;
  set: (name: string, text: string | boolean) => void;
  setJson: (text: string) => void;
  read: () => Read;
}

/** What was typed into the form of a flow's input. */
export function useInput(schema: InputSchema): Input {
  const [texts, setTexts] = useState<Record<string, string | boolean>>(() =>
    Object.fromEntries((schema ?? []).map((property) => [property.name, property.initial])),
  );
  const [json, setJson] = useState('{}');
  return {
    schema,
    texts,
    json,
    set: (name, text) => setTexts((before) => ({ ...before, [name]: text })),
    setJson,
    read: () => (schema === null ? readJson(json, 'The input') : readInput(schema, texts)),
  };
}

/** A field for each property; a text of JSON for a flow that does not say what it takes. */
export function InputForm({ input }: { input: Input }) {
  if (input.schema === null) {
    return (
      <TextArea
        label="Input"
        hint="JSON. The flow does not say what it takes."
        className="mono"
        rows={6}
        spellCheck={false}
        value={input.json}
        onChange={(event) => input.setJson(event.target.value)}
      />
    );
  }
  if (input.schema.length === 0) return <p className="muted">This flow takes no input.</p>;
  return input.schema.map((property) => (
    <PropertyField
      key={property.name}
      property={property}
      text={input.texts[property.name] ?? ''}
      onChange={(text) => input.set(property.name, text)}
    />
  ));
}

interface FieldProps {
  property: Property;
  text: string | boolean;
  onChange: (text: string | boolean) => void;
}

function PropertyField({ property, text, onChange }: FieldProps) {
  const { title, hint, required, kind } = property;
  const common = { label: title, hint, required };
  const value = typeof text === 'string' ? text : '';
  switch (kind) {
    case 'boolean':
      return (
        <Checkbox
          label={title}
          {...(hint && { hint })}
          checked={text === true}
          onChange={(event) => onChange(event.target.checked)}
        />
      );
    case 'choice': {
      const choices = property.choices.map((choice) => ({
        value: JSON.stringify(choice),
        label: typeof choice === 'string' ? choice : JSON.stringify(choice),
      }));
      return (
        <Select
          {...common}
          value={value}
          choices={[{ value: '', label: required ? 'Choose…' : 'None' }, ...choices]}
          onChange={(event) => onChange(event.target.value)}
        />
      );
    }
    case 'json':
      return (
        <TextArea
          {...common}
          hint={hint ?? 'JSON'}
          spellCheck={false}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      );
    case 'text':
      return (
        <TextField
          {...common}
          required={false}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      );
    default:
      return (
        <TextField
          {...common}
          inputMode="decimal"
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      );
  }
}
