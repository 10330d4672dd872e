import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { nodeTypesQuery, type NodeType } from '~/api/nodeTypes';
import { Dialog } from '~/ui/Dialog';
import { TextField } from '~/ui/Field';
import { ErrorNote, Skeleton } from '~/ui/Notes';

import styles from './Editor.module.css';

interface Props {
  open: boolean;
  onClose: () => void;
  onChoose: (type: NodeType) => void;
}

/** All node types, to add one of them. */
export function Palette({ open, onClose, onChoose }: Props) {
  return (
    <Dialog title="Add a node" open={open} onClose={onClose}>
      <Body onChoose={onChoose} />
    </Dialog>
  );
}

function Body({ onChoose }: { onChoose: Props['onChoose'] }) {
  const types = useQuery(nodeTypesQuery);
  const [text, setText] = useState('');
  if (types.isPending) return <Skeleton />;
  if (types.isError) return <ErrorNote error={types.error} onRetry={() => void types.refetch()} />;
  const wanted = text.trim().toLowerCase();
  const found = types.data.filter(
    (type) =>
      type.error === null &&
      `${type.name} ${type.title} ${type.category} ${type.description}`.toLowerCase().includes(wanted),
  );
  // What is called so comes before what only speaks of it.
  const rank = ({ name }: NodeType) => (name === wanted ? 0 : name.includes(wanted) ? 1 : 2);
  found.sort((one, other) => rank(one) - rank(other));
  return (
    <>
      <TextField
        label="Search"
        type="search"
        value={text}
        hint="Enter takes the first one."
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          const [first] = found;
          if (event.key === 'Enter' && wanted !== '' && first) onChoose(first);
        }}
      />
      <div className={styles.palette}>
        {[...Map.groupBy(found, (type) => type.category)].map(([category, some]) => (
          <section key={category} aria-label={category}>
            <h3 className="muted">{category}</h3>
            {some.map((type) => (
              <button
                key={type.name}
                type="button"
                className={styles.paletteItem}
                onClick={() => onChoose(type)}
              >
                <b>{type.name}</b>
                <span className="muted">{type.title}</span>
              </button>
            ))}
          </section>
        ))}
        {found.length === 0 && <p className="muted">No node type is like that.</p>}
      </div>
    </>
  );
}
