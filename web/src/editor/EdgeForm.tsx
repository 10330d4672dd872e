import { useState } from 'react';

import type { FlowEdge } from '~/graph/model';
import { Button } from '~/ui/Button';
import { Dialog, DialogActions } from '~/ui/Dialog';
import { TextField } from '~/ui/Field';

interface Props {
  edges: readonly FlowEdge[];
  /** Actions that the node's type knows. */
  actions: readonly string[];
  onRelabel: (edge: FlowEdge, action: string) => void;
  onRemove: (edges: readonly FlowEdge[]) => void;
  onClose: () => void;
}

const WORDS: Record<FlowEdge['kind'], string> = {
  next: 'is followed by',
  error: 'is followed, after a failure, by',
  need: 'is waited for by',
  port: 'gives a value to',
};

/** One line of the canvas: along which action it is followed, or away with it. */
export function EdgeForm({ edges, actions, onRelabel, onRemove, onClose }: Props) {
  const [edge] = edges;
  const [action, setAction] = useState(edge?.kind === 'error' ? 'error' : (edge?.label ?? ''));
  if (edge === undefined) return null;
  const follows = edges.length === 1 && (edge.kind === 'next' || edge.kind === 'error');
  return (
    <Dialog title={`${edge.from} ${WORDS[edge.kind]} ${edge.to}`} open onClose={onClose}>
      {follows && (
        <>
          <TextField
            label="Action"
            hint={
              actions.length > 0
                ? `The node gives: ${actions.join(', ')}. Empty: default.`
                : 'Empty: default.'
            }
            list="actions"
            value={action}
            onChange={(event) => setAction(event.target.value)}
          />
          <datalist id="actions">
            {['default', 'error', ...actions].map((one) => (
              <option key={one} value={one} />
            ))}
          </datalist>
        </>
      )}
      <DialogActions>
        <Button look="danger" onClick={() => onRemove(edges)}>
          Remove
        </Button>
        {follows && (
          <Button look="primary" onClick={() => onRelabel(edge, action.trim())}>
            Keep
          </Button>
        )}
      </DialogActions>
    </Dialog>
  );
}
