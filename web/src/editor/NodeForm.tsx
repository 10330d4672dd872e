import { useQuery } from '@tanstack/react-query';
import { Trash2, X } from 'lucide-react';

import { nodeTypesQuery, typeOf } from '~/api/nodeTypes';
import { getIn, setIn } from '~/editor/edits';
import { removeNode, renameNode } from '~/editor/nodes';
import { NodeField, ParamField } from '~/editor/ParamField';
import { fieldsOf, type FormField } from '~/editor/schema';
import { Button, IconButton } from '~/ui/Button';

import styles from './Editor.module.css';

interface Props {
  text: string;
  node: string;
  readOnly: boolean;
  onChange: (text: string) => void;
  onSelect: (node: string | null) => void;
}

/** Fields that every node has. */
const COMMON: readonly FormField[] = [
  {
    name: 'when',
    title: 'Only when',
    hint: 'An expression; if it is false the node is skipped.',
    kind: 'text',
  },
  { name: 'timeout', title: 'Timeout', hint: 'Of one attempt: 20s, 5m.', kind: 'text' },
  { name: 'retry', title: 'Retry', hint: 'max_attempts, delay, backoff, max_delay, on', kind: 'yaml' },
  { name: 'foreach', title: 'For each', hint: 'items, as, max_concurrency, tolerate_failures', kind: 'yaml' },
  { name: 'fallback', title: 'Fallback', hint: 'The output when every attempt failed.', kind: 'yaml' },
].map((field) => ({ required: false, choices: [], initial: undefined, ...field }) as FormField);

/** Everything about one node as a form; each field is a place in the document. */
export function NodeForm({ text, node, readOnly, onChange, onSelect }: Props) {
  const { data: types = [] } = useQuery(nodeTypesQuery);
  const name = getIn(text, ['nodes', node, 'type']);
  const type = typeof name === 'string' ? typeOf(types, name) : undefined;
  const set = (path: readonly string[], value: unknown) =>
    onChange(setIn(text, ['nodes', node, ...path], value));
  const rename = (next: string) => {
    try {
      onChange(renameNode(text, node, next));
      onSelect(next);
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : 'That is no name.';
    }
  };
  const code = getIn(text, ['nodes', node, 'hooks', 'exec']);
  return (
    <div className={styles.form}>
      <header className={styles.formHead}>
        <h2 className="truncate">{type?.name ?? node}</h2>
        <IconButton small label="Close the form" onClick={() => onSelect(null)}>
          <X aria-hidden />
        </IconButton>
      </header>
      {type && (
        <details>
          <summary>{type.title}</summary>
          <p className="muted">{type.description}</p>
        </details>
      )}
      <NodeField label="Node" value={node} readOnly={readOnly} onKeep={rename} />
      {fieldsOf(type?.params_schema).map((field) => (
        <ParamField
          key={`${node}.${field.name}`}
          field={field}
          value={getIn(text, ['nodes', node, 'params', field.name])}
          readOnly={readOnly}
          onChange={(value) => set(['params', field.name], value)}
        />
      ))}
      {(type?.name === 'script' || typeof code === 'string') && (
        <ParamField
          field={{
            name: 'exec',
            title: 'Script',
            hint: 'JavaScript: `return` the output.',
            required: false,
            kind: 'lines',
            choices: [],
            initial: undefined,
          }}
          value={code}
          readOnly={readOnly}
          onChange={(value) => set(['hooks', 'exec'], value)}
        />
      )}
      <details>
        <summary>More</summary>
        <div className={styles.form}>
          {COMMON.map((field) => (
            <ParamField
              key={`${node}.${field.name}`}
              field={field}
              value={getIn(text, ['nodes', node, field.name])}
              readOnly={readOnly}
              onChange={(value) => set([field.name], value)}
            />
          ))}
        </div>
      </details>
      {!readOnly && (
        <Button
          look="danger"
          onClick={() => {
            onChange(removeNode(text, node));
            onSelect(null);
          }}
        >
          <Trash2 aria-hidden />
          Delete the node
        </Button>
      )}
    </div>
  );
}
