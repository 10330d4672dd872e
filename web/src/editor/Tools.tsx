import { LayoutGrid, Plus, Redo2, Undo2 } from 'lucide-react';

import { unplaceNodes } from '~/editor/nodes';
import type { Runs } from '~/editor/useWriting';
import { ago } from '~/lib/times';
import { Button, IconButton } from '~/ui/Button';

import styles from './Editor.module.css';

interface Props {
  readOnly: boolean;
  runs: Runs;
  onAdd: () => void;
  onEdit: (change: (text: string) => string) => void;
  onUndo: () => void;
  onRedo: () => void;
}

/** What can be done on the canvas, and which run the values beneath fields are from. */
export function Tools({ readOnly, runs, onAdd, onEdit, onUndo, onRedo }: Props) {
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
      <IconButton small label="Undo" disabled={readOnly} onClick={onUndo}>
        <Undo2 aria-hidden />
      </IconButton>
      <IconButton small label="Redo" disabled={readOnly} onClick={onRedo}>
        <Redo2 aria-hidden />
      </IconButton>
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
