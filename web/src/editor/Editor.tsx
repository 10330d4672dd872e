import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { LayoutGrid, Plus, Redo2, Undo2 } from 'lucide-react';
import { useMemo, useRef, useState } from 'react';

import { nodeTypesQuery, typeOf, type NodeType } from '~/api/nodeTypes';
import { secretsQuery } from '~/api/secrets';
import { useMay } from '~/api/session';
import { EdgeForm } from '~/editor/EdgeForm';
import { NodeForm } from '~/editor/NodeForm';
import {
  addNode,
  connect,
  disconnect,
  freeName,
  placeNodes,
  relabel,
  removeNode,
  unplaceNodes,
} from '~/editor/nodes';
import { Palette } from '~/editor/Palette';
import { nodeOf, useProblems } from '~/editor/problems';
import { Problems } from '~/editor/Problems';
import { YamlEditor, type EditorHandle } from '~/editor/YamlEditor';
import { EditCanvas } from '~/graph/EditCanvas';
import { EMPTY_GRAPH, graphOf, type FlowEdge, type FlowGraph } from '~/graph/model';
import { Button, IconButton } from '~/ui/Button';
import { WarnNote } from '~/ui/Notes';
import { useSay } from '~/ui/Toasts';
import { inputSchemaOf } from '~/views/flows/inputs';

import styles from './Editor.module.css';

interface Props {
  /** The document that the editor begins with; whatever is typed since is its own. */
  initial: string;
  text: string;
  readOnly: boolean;
  onChange: (text: string) => void;
  onSave: () => void;
}

/** Canvas and document side by side, each changing the other. The document is the one truth. */
export function Editor({ initial, text, readOnly, onChange, onSave }: Props) {
  const editor = useRef<EditorHandle>(null);
  const say = useSay();
  const [selected, setSelected] = useState<string | null>(null);
  const [adding, setAdding] = useState(false);
  const [edges, setEdges] = useState<readonly FlowEdge[]>([]);
  const { data: types = [] } = useQuery(nodeTypesQuery);
  const { problems, checking } = useProblems(text);
  const { graph, broken } = useGraph(text);
  const bad = useMemo(
    () => new Set(problems.filter((one) => one.severity === 'error').flatMap((one) => nodeOf(one) ?? [])),
    [problems],
  );
  /** A change from the canvas or a form; one that the document does not allow says why. */
  const edit = (change: (text: string) => string) => {
    try {
      editor.current?.replace(change(text));
    } catch (error) {
      say(error instanceof Error ? error.message : 'The document is broken: mend it first.');
    }
  };
  const add = (type: NodeType) => {
    const id = freeName(text, type.name);
    edit((before) => {
      const after = addNode(before, id, type.name, type.example);
      // A new node follows the one that was chosen: that is what one is about to draw.
      return selected !== null && graph.nodes.some((node) => node.id === selected)
        ? connect(after, selected, id)
        : after;
    });
    setAdding(false);
    setSelected(id);
  };
  const from = edges[0]?.from;
  const fromType = typeOf(types, graph.nodes.find((node) => node.id === from)?.type ?? '');
  return (
    <div className={styles.editor}>
      <div className={styles.canvas}>
        <div className={styles.tools} role="toolbar" aria-label="Canvas">
          <Button small disabled={readOnly} onClick={() => setAdding(true)}>
            <Plus aria-hidden />
            Add a node
          </Button>
          <Button
            small
            disabled={readOnly}
            onClick={() => edit(unplaceNodes)}
            title="Forget where nodes were put"
          >
            <LayoutGrid aria-hidden />
            Lay out
          </Button>
          <IconButton small label="Undo" disabled={readOnly} onClick={() => editor.current?.undo()}>
            <Undo2 aria-hidden />
          </IconButton>
          <IconButton small label="Redo" disabled={readOnly} onClick={() => editor.current?.redo()}>
            <Redo2 aria-hidden />
          </IconButton>
        </div>
        <section className={styles.drawing} aria-label="Canvas">
          {broken && (
            <div className={styles.broken}>
              <WarnNote>The document is no valid YAML now; the canvas shows it as it last was.</WarnNote>
            </div>
          )}
          <EditCanvas
            graph={graph}
            bad={bad}
            selected={selected}
            readOnly={readOnly || broken}
            onSelect={setSelected}
            onConnect={(source, target) => edit((before) => connect(before, source, target))}
            onRemoveNodes={(ids) => edit((before) => ids.reduce(removeNode, before))}
            onRemoveEdges={(gone) => edit((before) => gone.reduce(disconnect, before))}
            onMove={(places) => edit((before) => placeNodes(before, places))}
            onEdge={setEdges}
          />
        </section>
      </div>
      <div className={styles.right}>
        <Known text={text}>
          {(known) => (
            <div style={{ display: selected === null || broken ? 'contents' : 'none' }}>
              <YamlEditor
                ref={editor}
                initial={initial}
                readOnly={readOnly}
                problems={problems}
                known={{ ...known, types }}
                onChange={onChange}
                onSave={onSave}
              />
            </div>
          )}
        </Known>
        {selected !== null && !broken && graph.nodes.some((node) => node.id === selected) && (
          <NodeForm
            key={selected}
            text={text}
            node={selected}
            readOnly={readOnly}
            onChange={(after) => edit(() => after)}
            onSelect={setSelected}
          />
        )}
      </div>
      <Problems
        problems={problems}
        checking={checking}
        onGo={(problem) => {
          setSelected(null);
          if (problem.line !== null) editor.current?.goTo(problem.line);
        }}
      />
      <Palette open={adding} onClose={() => setAdding(false)} onChoose={add} />
      {edges.length > 0 && !readOnly && (
        <EdgeForm
          key={edges[0]?.id}
          edges={edges}
          actions={fromType?.actions ?? []}
          onClose={() => setEdges([])}
          onRemove={(gone) => {
            edit((before) => gone.reduce(disconnect, before));
            setEdges([]);
          }}
          onRelabel={(edge, action) => {
            edit((before) => relabel(before, edge, action));
            setEdges([]);
          }}
        />
      )}
    </div>
  );
}

/** The drawing of the document; while that is broken, of what it last was. */
function useGraph(text: string): { graph: FlowGraph; broken: boolean } {
  const [last, setLast] = useState<{ text: string; graph: FlowGraph; broken: boolean }>({
    text: '',
    graph: EMPTY_GRAPH,
    broken: false,
  });
  if (last.text !== text) {
    const graph = graphOf(text);
    const next = { text, graph: graph ?? last.graph, broken: graph === null };
    setLast(next);
    return next;
  }
  return last;
}

interface KnownProps {
  text: string;
  children: (known: { secrets: readonly string[]; inputs: readonly string[] }) => React.ReactNode;
}

/** What expressions may name, beside the flow's own nodes. */
function Known({ text, children }: KnownProps) {
  const maySee = useMay('secrets:read');
  const secrets = useInfiniteQuery({ ...secretsQuery, enabled: maySee });
  const inputs = useMemo(() => (inputSchemaOf(text) ?? []).map(({ name }) => name), [text]);
  return children({
    inputs,
    secrets: secrets.data?.pages.flatMap((page) => page.items.map(({ key }) => key)) ?? [],
  });
}
