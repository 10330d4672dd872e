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

/** Fields that belong together: those of an object within a schema. */
export interface Group {
  name: string;
  title: string;
  hint: string;
  fields: readonly FormField[];
}

/** What a schema's object has, in its order: a group for each object with properties, and a field for all else. */
export function partsOf(schema: unknown, but: ReadonlySet<string>): (FormField | Group)[] {
  const root = (schema ?? {}) as Schema;
  const defs = root.$defs ?? {};
  const required = new Set(root.required);
  return Object.entries(root.properties ?? {})
    .filter(([name]) => !but.has(name))
    .map(([name, given]) => {
      const property = resolved(given, defs);
      const options = [property, ...(property.anyOf ?? []).map((one) => resolved(one, defs))];
      const object = options.length < 4 ? options.find((one) => one.properties !== undefined) : undefined;
      const only = options.every((one) => one === property || one === object || one.type === 'null');
      if (object === undefined || !only) return fieldOf(name, given, defs, required.has(name));
      const fields = fieldsOf({ ...object, $defs: defs });
      return { name, title: titled(name), hint: given.description ?? object.description ?? '', fields };
    });
}

/** `on_error` as a heading. */
function titled(name: string): string {
  return (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll('_', ' ');
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
