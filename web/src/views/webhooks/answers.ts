/** What receivers answered, which the API escapes for pages that would show it as HTML. */

const SIGNS: Readonly<Record<string, string>> = {
  '&lt;': '<',
  '&gt;': '>',
  '&quot;': '"',
  '&#x27;': "'",
  '&amp;': '&',
};

/** The text as it was answered: only to be shown as text. */
export function unescaped(answer: string): string {
  return answer.replace(/&(?:lt|gt|quot|#x27|amp);/g, (sign) => SIGNS[sign] ?? sign);
}
