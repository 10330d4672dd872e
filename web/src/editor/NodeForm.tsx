import { CopyPlus, FileCode, Trash2, X } from 'lucide-react';
import { useMemo, type ReactNode } from 'react';

import { type NodeType } from '~/api/nodeTypes';
import { getIn, setField } from '~/editor/edits';
import { HookFields } from '~/editor/HookFields';
import { COMMON, GROUPS } from '~/editor/nodeFields';
import { renameNode } from '~/editor/nodes';
import { NodeField, ParamField } from '~/editor/ParamField';
import { placeOf, WritingContext, type Writing } from '~/editor/place';
import { faultOf, type Problem } from '~/editor/problems';
import { fieldsOf, type FormField, type Group } from '~/editor/schema';
import type { FlowGraph } from '~/graph/model';
import { Button, IconButton } from '~/ui/Button';

import styles from './Editor.module.css';

interface Props {
  node: string;
  type: NodeType | undefined;
  graph: FlowGraph;
  problems: readonly Problem[];
  writing: Writing;
  readOnly: boolean;
  /** Changes the document, whatever it is by then. */
  onEdit: (change: (text: string) => string) => void;
  onSelect: (node: string | null) => void;
  onShow: () => void;
  onDuplicate: () => void;
  onRemove: () => void;
  children?: ReactNode;
}

/** Everything about one node as a form; each field is a place in the document. */
export function NodeForm(props: Props) {
  const { node, type, graph, problems, writing, readOnly, onEdit, onSelect } = props;
  const { text } = writing;
  const here = useMemo(
    () => ({ ...writing, place: placeOf(text, graph, node) }),
    [writing, text, graph, node],
  );
  const at = (...path: string[]) => getIn(text, ['nodes', node, ...path]);
  const set = (path: readonly string[], value: unknown) =>
    onEdit((before) => setField(before, ['nodes', node], path, value));
  const fault = (...path: string[]) => faultOf(problems, ['nodes', node, ...path].join('.'));
  const rename = (next: string) => {
    try {
      const after = renameNode(text, node, next);
      onEdit(() => after);
      onSelect(next);
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : 'That is no name.';
    }
  };
  const items = at('params', 'items') ?? at('params', 'value') ?? '${prev}';
  const one = (field: FormField, ...path: string[]) => (
    <ParamField
      key={`${node}.${path.join('.')}`}
      field={field}
      value={at(...path)}
      readOnly={readOnly}
      fault={fault(...path)}
      {...(field.deferred && { each: items })}
      {...(field.name === 'when' && path.length === 1 && { each: null })}
      {...(field.name === 'source' && type?.name === 'script' && { script: 'exec' as const })}
      onChange={(value) => set(path, value)}
    />
  );
  const group = ({ name, title, hint, fields }: Group) => (
    <details key={`${node}.${name}`} open={at(name) !== undefined || undefined}>
      <summary>{title}</summary>
      <div className={styles.group}>
        <p className="muted">{hint}</p>
        {fields.map((field) => (
          <ParamField
            key={field.name}
            field={field}
            value={at(name, field.name)}
            readOnly={readOnly}
            fault={fault(name, field.name)}
            each={null}
            onChange={(value) => set([name, field.name], value)}
          />
        ))}
      </div>
    </details>
  );
  const isScript = type?.name === 'script';
  return (
    <WritingContext value={here}>
      <div className={styles.form} role="region" aria-label={`Node ${node}`}>
        <header className={styles.formHead}>
          <h2 className="truncate">{type?.name ?? node}</h2>
          <span className={styles.formTools}>
            <IconButton small label="Show in the document" onClick={props.onShow}>
              <FileCode aria-hidden />
            </IconButton>
            {!readOnly && (
              <>
                <IconButton small label="Duplicate the node" onClick={props.onDuplicate}>
                  <CopyPlus aria-hidden />
                </IconButton>
                <IconButton small label="Delete the node" onClick={props.onRemove}>
                  <Trash2 aria-hidden />
                </IconButton>
              </>
            )}
            <IconButton small label="Close the form" onClick={() => onSelect(null)}>
              <X aria-hidden />
            </IconButton>
          </span>
        </header>
        {type && (
          <details>
            <summary>{type.title}</summary>
            <p className="muted">{type.description}</p>
          </details>
        )}
        <NodeField label="Node" value={node} readOnly={readOnly} onKeep={rename} />
        {isScript && (
          <HookFields node={node} at={at} set={set} fault={fault} readOnly={readOnly} only="exec" />
        )}
        {fieldsOf(type?.params_schema)
          .filter(({ name }) => !isScript || name !== 'source' || at('params', name) !== undefined)
          .map((field) => one(field, 'params', field.name))}
        {props.children}
        <details key={`${node}.more`} open={COMMON.some(({ name }) => at(name) !== undefined) || undefined}>
          <summary>Conditions and failures</summary>
          <div className={styles.group}>{COMMON.map((field) => one(field, field.name))}</div>
        </details>
        {GROUPS.map(group)}
        <HookFields
          node={node}
          at={at}
          set={set}
          fault={fault}
          readOnly={readOnly}
          {...(isScript && { but: 'exec' })}
        />
        {!readOnly && (
          <Button look="danger" onClick={props.onRemove}>
            <Trash2 aria-hidden />
            Delete the node
          </Button>
        )}
      </div>
    </WritingContext>
  );
}
