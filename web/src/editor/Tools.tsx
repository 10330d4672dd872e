import { Keyboard, LayoutGrid, Plus, Redo2, Settings2, Undo2 } from 'lucide-react';
import { useState } from 'react';

import { unplaceNodes } from '~/editor/nodes';
import type { Runs } from '~/editor/useWriting';
import { ago } from '~/lib/times';
import { Button, IconButton } from '~/ui/Button';
import { Dialog } from '~/ui/Dialog';

import styles from './Editor.module.css';

interface Props {
  readOnly: boolean;
  runs: Runs;
  onAdd: () => void;
  onSettings: () => void;
  onEdit: (change: (text: string) => string) => void;
  onUndo: () => void;
  onRedo: () => void;
}

const KEYS: readonly (readonly [string, string])[] = [
  ['Tab, Enter', 'go through the canvas, and choose a node'],
  ['Shift and drag, Ctrl and click, Ctrl+A', 'choose several'],
  ['arrow keys', 'move what is chosen'],
  ['Ctrl+C, Ctrl+X, Ctrl+V', 'copy, cut and paste nodes, here or into another flow'],
  ['Ctrl+D', 'duplicate'],
  ['Delete', 'remove what is chosen'],
  ['Ctrl+Z, Ctrl+Y', 'undo and redo, whatever it was'],
  ['Ctrl+Space', 'what can be written here'],
  ['Escape, then Tab', 'leave a field for code'],
  ['Ctrl+F', 'search in the document'],
  ['Ctrl+S', 'save'],
];

/** What can be done on the canvas, and which run the values beneath fields are from. */
export function Tools({ readOnly, runs, onAdd, onSettings, onEdit, onUndo, onRedo }: Props) {
  const [help, setHelp] = useState(false);
  return (
    <div className={styles.tools} role="toolbar" aria-label="Canvas">
      <Button small disabled={readOnly} onClick={onAdd}>
        <Plus aria-hidden />
        Add a node
      </Button>
      <Button
        small
        disabled={readOnly}
        onClick={() => onEdit(unplaceNodes)}
        title="Forget where nodes were put"
      >
        <LayoutGrid aria-hidden />
        Lay out
      </Button>
      <Button small onClick={onSettings} title="Name, input, output, limits, triggers">
        <Settings2 aria-hidden />
        Flow settings
      </Button>
      <IconButton small label="Undo" disabled={readOnly} onClick={onUndo}>
        <Undo2 aria-hidden />
      </IconButton>
      <IconButton small label="Redo" disabled={readOnly} onClick={onRedo}>
        <Redo2 aria-hidden />
      </IconButton>
      <IconButton small label="Keys" onClick={() => setHelp(true)}>
        <Keyboard aria-hidden />
      </IconButton>
      <Dialog title="Keys of the editor" open={help} onClose={() => setHelp(false)}>
        <dl className={styles.keys}>
          {KEYS.map(([keys, what]) => (
            <div key={keys}>
              <dt>{keys}</dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      </Dialog>
      {runs.all.length > 0 && (
        <label className={styles.runs} title="Fields show what their expressions gave in this run">
          <span>Values of</span>
          <select value={runs.chosen ?? ''} onChange={(event) => runs.choose(event.target.value)}>
            {runs.all.map(({ id, status, started_at }) => (
              <option key={id} value={id}>
                {started_at ? `${ago(started_at)}, ` : ''}
                {status}
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}
