/** A flow's input: from its JSON Schema to a form, and from the form to a value. */
import { parse } from 'yaml';

export interface Property {
  name: string;
  title: string;
  hint: string | undefined;
  required: boolean;
  /** How it is asked for: `json` for whatever has no field of its own. */
  kind: 'text' | 'number' | 'integer' | 'boolean' | 'choice' | 'json';
  choices: readonly unknown[];
  initial: string | boolean;
}

export type InputSchema = readonly Property[] | null;

interface JsonSchema {
  type?: unknown;
  properties?: Record<string, JsonSchema>;
  required?: unknown;
  title?: unknown;
  description?: unknown;
  enum?: unknown;
  default?: unknown;
  additionalProperties?: unknown;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The properties that a flow asks for; null when it does not say, so that any JSON may be given. */
export function inputSchemaOf(document: string): InputSchema {
  let flow: unknown;
  try {
    flow = parse(document);
  } catch {
    return null;
  }
  const schema = isObject(flow) && isObject(flow.inputs) ? (flow.inputs as JsonSchema) : null;
  if (schema === null || !isObject(schema.properties)) return null;
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(schema.properties).map(([name, property]) =>
    ofProperty(name, property, required.includes(name)),
  );
}

function ofProperty(name: string, schema: JsonSchema, required: boolean): Property {
  const choices = Array.isArray(schema.enum) ? schema.enum : [];
  const kind = kindOf(schema, choices);
  return {
    name,
    title: typeof schema.title === 'string' ? schema.title : name,
    hint: typeof schema.description === 'string' ? schema.description : undefined,
    required,
    kind,
    choices,
    initial: initialOf(schema.default, kind),
  };
}

function kindOf(schema: JsonSchema, choices: readonly unknown[]): Property['kind'] {
  if (choices.length > 0) return 'choice';
  switch (schema.type) {
    case 'string':
      return 'text';
    case 'number':
    case 'integer':
    case 'boolean':
      return schema.type;
    default:
      return 'json';
  }
}

function initialOf(value: unknown, kind: Property['kind']): string | boolean {
  if (kind === 'boolean') return value === true;
  if (value === undefined) return '';
  if (kind === 'json' || kind === 'choice') return JSON.stringify(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export type Read = { ok: true; value: unknown } | { ok: false; problem: string };

/** The value that a form's texts stand for. What was left empty and need not be there is left out. */
export function readInput(
  properties: readonly Property[],
  texts: Readonly<Record<string, string | boolean>>,
): Read {
  const value: Record<string, unknown> = {};
  for (const property of properties) {
    const given = texts[property.name] ?? '';
    if (given === '' && property.kind !== 'text') {
      if (property.required) return { ok: false, problem: `${property.title} is needed.` };
      continue;
    }
    if (given === '' && !property.required) continue;
    const read = readProperty(property, given);
    if (!read.ok) return read;
    value[property.name] = read.value;
  }
  return { ok: true, value };
}

function readProperty(property: Property, given: string | boolean): Read {
  if (typeof given === 'boolean' || property.kind === 'text') return { ok: true, value: given };
  if (property.kind === 'number' || property.kind === 'integer') {
    const value = Number(given);
    return Number.isFinite(value)
      ? { ok: true, value }
      : { ok: false, problem: `${property.title} is no number.` };
  }
  return readJson(given, property.title);
}

/** JSON text as a value; an empty text is an empty object. */
export function readJson(text: string, what: string): Read {
  try {
    return { ok: true, value: text.trim() === '' ? {} : (JSON.parse(text) as unknown) };
  } catch (error) {
    return {
      ok: false,
      problem: `${what} is not valid JSON: ${error instanceof Error ? error.message : ''}`,
    };
  }
}
