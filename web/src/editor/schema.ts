/** From the JSON Schema of a node type's parameters to the fields of a form. */

export type FieldKind = 'text' | 'lines' | 'number' | 'boolean' | 'choice' | 'yaml';

export interface FormField {
  name: string;
  title: string;
  hint: string;
  required: boolean;
  kind: FieldKind;
  choices: readonly string[];
  initial: unknown;
  /** The node evaluates its expressions itself, for each item. */
  deferred: boolean;
}

interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  properties?: Record<string, Schema>;
  required?: string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  allOf?: Schema[];
  maxLength?: number;
  'x-deferred'?: boolean;
}

const LONG = 1_000;

/** A field that no schema describes. */
export function field(
  name: string,
  title: string,
  hint: string,
  kind: FieldKind,
  some: Partial<FormField> = {},
): FormField {
  return {
    name,
    title,
    hint,
    kind,
    required: false,
    choices: [],
    initial: undefined,
    deferred: false,
    ...some,
  };
}

/** A field for each parameter: those that are needed first, then as the type has them. */
export function fieldsOf(schema: unknown): FormField[] {
  const root = (schema ?? {}) as Schema;
  const required = new Set(root.required);
  const fields = Object.entries(root.properties ?? {}).map(([name, property]) =>
    fieldOf(name, property, root.$defs ?? {}, required.has(name)),
  );
  return [...fields.filter((field) => field.required), ...fields.filter((field) => !field.required)];
}

function resolved(schema: Schema, defs: Record<string, Schema>): Schema {
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) return { ...defs[name], ...schema };
  const [only, ...more] = schema.allOf ?? [];
  return only && more.length === 0 ? { ...resolved(only, defs), ...schema } : schema;
}

function fieldOf(name: string, given: Schema, defs: Record<string, Schema>, required: boolean): FormField {
  const schema = resolved(given, defs);
  const options = [schema, ...(schema.anyOf ?? []).map((one) => resolved(one, defs))];
  const choices = options.flatMap((one) => one.enum ?? []).filter((one) => typeof one === 'string');
  return {
    name,
    title: schema.title ?? name,
    hint: schema.description ?? '',
    required,
    kind: kindOf(options, choices),
    choices,
    initial: schema.default,
    deferred: options.some((one) => one['x-deferred'] === true),
  };
}

function kindOf(options: readonly Schema[], choices: readonly string[]): FieldKind {
  const types = new Set(options.flatMap((one) => one.type ?? []));
  if (choices.length > 0 && !types.has('object') && !types.has('array')) return 'choice';
  if (types.has('object') || types.has('array') || types.size === 0) return 'yaml';
  if (types.has('string')) {
    const longest = Math.max(...options.map((one) => one.maxLength ?? 0));
    return longest > LONG ? 'lines' : 'text';
  }
  if (types.has('boolean')) return 'boolean';
  return types.has('number') || types.has('integer') ? 'number' : 'yaml';
}
