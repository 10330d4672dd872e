import { CopyPlus, Trash2, X } from 'lucide-react';

import { Button, IconButton } from '~/ui/Button';

import styles from './Editor.module.css';

interface Props {
  nodes: readonly string[];
  readOnly: boolean;
  onDuplicate: () => void;
  onRemove: () => void;
  onClose: () => void;
}

/** What can be done with several nodes at once. */
export function Several({ nodes, readOnly, onDuplicate, onRemove, onClose }: Props) {
  return (
    <div className={styles.form} role="region" aria-label="Several nodes">
      <header className={styles.formHead}>
        <h2>{nodes.length} nodes</h2>
        <IconButton small label="Close" onClick={onClose}>
          <X aria-hidden />
        </IconButton>
      </header>
      <p className="wrap">{nodes.join(', ')}</p>
      <p className="muted">
        Ctrl+C copies them, Ctrl+X cuts them out, Ctrl+V puts them here or into another flow: with the lines
        between them, as YAML.
      </p>
      {!readOnly && (
        <>
          <Button onClick={onDuplicate}>
            <CopyPlus aria-hidden />
            Duplicate
          </Button>
          <Button look="danger" onClick={onRemove}>
            <Trash2 aria-hidden />
            Delete {nodes.length} nodes
          </Button>
        </>
      )}
    </div>
  );
}
