/** Puts a text into the clipboard. Raises when the browser does not let it. */
export async function copyText(text: string): Promise<void> {
  // Browsers have `navigator.clipboard` over HTTPS and on this machine only.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard) return clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  area.setAttribute('readonly', '');
  area.style.position = 'fixed';
  area.style.opacity = '0';
  // Within a dialog nothing outside of it can be selected.
  const place = document.activeElement?.closest('[role="dialog"]') ?? document.body;
  const before = document.activeElement;
  place.append(area);
  area.select();
  try {
    // The only way there is without it.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    if (!document.execCommand('copy')) throw new Error('The browser does not let anything be copied.');
  } finally {
    area.remove();
    if (before instanceof HTMLElement) before.focus();
  }
}
