/** Flows to begin with: small, whole, and each about one idea. The tests of the server validate them. */

const documents = import.meta.glob<string>('./templates/*.yaml', {
  query: '?raw',
  import: 'default',
  eager: true,
});

export interface Template {
  name: string;
  about: string;
  document: string;
}

export const TEMPLATES: readonly Template[] = Object.entries(documents)
  .sort(([one], [other]) => one.localeCompare(other))
  .map(([, document]) => ({
    name: /^ {2}name: (.+)$/m.exec(document)?.[1] ?? 'flow',
    about: document.split('\n', 1)[0]?.replace(/^# /, '') ?? '',
    document,
  }));

/** The same document under another name. */
export function renamed(document: string, name: string): string {
  return document.replace(/^( {2}name: ).+$/m, `$1${name}`);
}
