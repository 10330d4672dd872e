import { useQuery } from '@tanstack/react-query';
import { FileCode, X } from 'lucide-react';

import { flowSchemaQuery } from '~/api/nodeTypes';
import { getIn, setField } from '~/editor/edits';
import { ParamField } from '~/editor/ParamField';
import { WritingContext, type Writing } from '~/editor/place';
import { faultOf, type Problem } from '~/editor/problems';
import { partsOf, type FormField } from '~/editor/schema';
import { IconButton } from '~/ui/Button';
import { ErrorNote, Skeleton } from '~/ui/Notes';

import styles from './Editor.module.css';

interface Props {
  problems: readonly Problem[];
  writing: Writing;
  readOnly: boolean;
  onEdit: (change: (text: string) => string) => void;
  onShow: (line: number) => void;
  onClose: () => void;
}

/** What the canvas is for. */
const DRAWN = new Set(['nodes', 'connections', 'start']);

/** Everything about a flow but its nodes as a form: name, input, output, limits, triggers. */
export function FlowForm({ problems, writing, readOnly, onEdit, onShow, onClose }: Props) {
  const schema = useQuery(flowSchemaQuery);
  const { text } = writing;
  const one = (field: FormField, ...path: string[]) => (
    <ParamField
      key={path.join('.')}
      field={field}
      value={getIn(text, path)}
      readOnly={readOnly}
      fault={faultOf(problems, path.join('.'))}
      onChange={(value) => onEdit((before) => setField(before, [], path, value))}
    />
  );
  return (
    <WritingContext value={{ ...writing, place: null }}>
      <div className={styles.form} role="region" aria-label="Flow settings">
        <header className={styles.formHead}>
          <h2 className="truncate">Flow settings</h2>
          <span className={styles.formTools}>
            <IconButton small label="Show the document" onClick={() => onShow(1)}>
              <FileCode aria-hidden />
            </IconButton>
            <IconButton small label="Close the form" onClick={onClose}>
              <X aria-hidden />
            </IconButton>
          </span>
        </header>
        {schema.isPending && <Skeleton />}
        {schema.isError && <ErrorNote error={schema.error} onRetry={() => void schema.refetch()} />}
        {partsOf(schema.data, DRAWN).map((part) => {
          if (!('fields' in part)) return one(part, part.name);
          const fields = part.fields.map((field) => one(field, part.name, field.name));
          if (part.name === 'metadata') return fields;
          return (
            <details key={part.name} open={getIn(text, [part.name]) !== undefined || undefined}>
              <summary>{part.title}</summary>
              <div className={styles.group}>
                <p className="muted">{part.hint}</p>
                {fields}
              </div>
            </details>
          );
        })}
      </div>
    </WritingContext>
  );
}
