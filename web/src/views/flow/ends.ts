/** Line ends: the editor knows one kind, and a document keeps those that it came with. */

export function withPlainEnds(document: string): string {
  return document.replace(/\r\n?/g, '\n');
}

/** A text with the line ends of the document that it comes from. */
export function withEndsOf(document: string, text: string): string {
  return document.includes('\r\n') && !/[^\r]\n/.test(document) ? text.replaceAll('\n', '\r\n') : text;
}
