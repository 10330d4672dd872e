import { useState } from 'react';

import { usePreview } from '~/editor/preview';
import { Button } from '~/ui/Button';

import styles from './Fields.module.css';

const LONG = 72;
const LINES = 6;

/** What a field's expressions gave in the run that values are taken from. */
export function PreviewLine({ id, value, each }: { id: string; value: unknown; each?: unknown }) {
  const [whole, setWhole] = useState(false);
  const preview = usePreview(value, each);
  if (preview === null) return null;
  const lines = (preview.error ? preview.error.message : inText(preview.value)).split('\n');
  const shown = whole ? lines : lines.slice(0, LINES);
  return (
    <div className={styles.preview} data-failed={preview.error !== null} data-preview>
      <span aria-hidden>{preview.error ? '⚠' : '='}</span>
      <pre id={id}>
        {shown.join('\n')}
        {preview.cut && shown.length === lines.length && <span className="muted"> … cut short</span>}
      </pre>
      {shown.length < lines.length && (
        <Button small look="quiet" className={styles.more ?? ''} onClick={() => setWhole(true)}>
          {lines.length - shown.length} more lines
        </Button>
      )}
    </div>
  );
}

function inText(value: unknown): string {
  if (typeof value === 'string' && /["\n\\]/.test(value)) return value;
  const line = JSON.stringify(value);
  return line.length <= LONG || typeof value !== 'object' ? line : JSON.stringify(value, null, 2);
}
