/** What scripts find in the sandbox, beside what expressions see. */
import type { Option } from '~/editor/completion';

export type HookName = 'prep' | 'exec' | 'post';

const ALWAYS: readonly Option[] = [
  { label: 'log()', detail: '(text, level?)' },
  { label: 'emit()', detail: '(name, data): an event' },
  { label: 'JSON' },
  { label: 'Math' },
  { label: 'Object' },
  { label: 'Array' },
  { label: 'String' },
  { label: 'Number' },
  { label: 'Date' },
  { label: 'Map' },
  { label: 'Set' },
  { label: 'RegExp' },
];
const OF_HOOK: Readonly<Record<HookName, readonly Option[]>> = {
  prep: [{ label: 'context', detail: 'fields of it become params and input' }],
  exec: [
    { label: 'params', detail: 'evaluated' },
    { label: 'context', detail: 'what prep left' },
  ],
  post: [
    { label: 'output', detail: "the node's" },
    { label: 'params', detail: 'evaluated' },
    { label: 'context', detail: 'what prep left' },
  ],
};
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  JSON: ['parse()', 'stringify()'],
  Math: ['abs()', 'ceil()', 'floor()', 'max()', 'min()', 'pow()', 'random()', 'round()', 'sqrt()', 'trunc()'],
  Object: ['assign()', 'entries()', 'fromEntries()', 'groupBy()', 'keys()', 'values()'],
  Array: ['from()', 'isArray()', 'of()'],
  Number: ['isFinite()', 'isInteger()', 'parseFloat()', 'parseInt()'],
  Date: ['now()', 'parse()', 'UTC()'],
};

/** Names that a hook's code can use by themselves. */
export function globalsOf(hook: HookName): readonly Option[] {
  return [...OF_HOOK[hook], ...ALWAYS];
}

/** What is behind a global's dot. */
export function membersOf(name: string): readonly Option[] {
  return (MEMBERS[name] ?? []).map((label) => ({ label }));
}
