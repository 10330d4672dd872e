import { useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useRef, useState } from 'react';

import { nodeTypesQuery, typeOf } from '~/api/nodeTypes';
import { EdgeForm } from '~/editor/EdgeForm';
import { EdgeList } from '~/editor/EdgeList';
import { FlowForm } from '~/editor/FlowForm';
import { NodeForm } from '~/editor/NodeForm';
import { disconnect, placeNodes, relabel } from '~/editor/nodes';
import { Palette } from '~/editor/Palette';
import { nodeOf, useProblems } from '~/editor/problems';
import { Problems } from '~/editor/Problems';
import { Several } from '~/editor/Several';
import { Tools } from '~/editor/Tools';
import { useActions } from '~/editor/useActions';
import { useGraph } from '~/editor/useGraph';
import { useKeys } from '~/editor/useKeys';
import { useWriting } from '~/editor/useWriting';
import { YamlEditor, type EditorHandle } from '~/editor/YamlEditor';
import { EditCanvas } from '~/graph/EditCanvas';
import { type FlowEdge } from '~/graph/model';
import { linesOf } from '~/run/lines';
import { Button } from '~/ui/Button';
import { WarnNote } from '~/ui/Notes';

import styles from './Editor.module.css';

interface Props {
  /** The id of the flow. */
  flow: string;
  /** The document that the editor begins with; whatever is typed since is its own. */
  initial: string;
  /** The line that is shown first; null for the beginning. */
  line: number | null;
  text: string;
  readOnly: boolean;
  onChange: (text: string) => void;
  onSave: () => void;
}

/** Canvas and document side by side, each changing the other. The document is the one truth. */
export function Editor({ flow, initial, line, text, readOnly, onChange, onSave }: Props) {
  const root = useRef<HTMLDivElement>(null);
  const editor = useRef<EditorHandle>(null);
  useEffect(() => {
    if (line !== null) editor.current?.goTo(line);
  }, [line]);
  const [chosen, choose] = useState<readonly string[]>([]);
  const [settings, setSettings] = useState(false);
  const setChosen = (nodes: readonly string[]) => {
    choose(nodes);
    setSettings(false);
  };
  const [adding, setAdding] = useState(false);
  const [edges, setEdges] = useState<readonly FlowEdge[]>([]);
  const { data: types = [] } = useQuery(nodeTypesQuery);
  const { problems, checking } = useProblems(text);
  const { graph, broken } = useGraph(text);
  const { writing, runs } = useWriting(flow, text, graph, types);
  const bad = useMemo(
    () => new Set(problems.filter((one) => one.severity === 'error').flatMap((one) => nodeOf(one) ?? [])),
    [problems],
  );
  const there = useMemo(
    () => chosen.filter((id) => graph.nodes.some((node) => node.id === id)),
    [chosen, graph],
  );
  const selected = useMemo(() => new Set(there), [there]);
  const only = there.length === 1 && !broken ? there[0] : undefined;
  const typeOfNode = (id: string | undefined) =>
    typeOf(types, graph.nodes.find((node) => node.id === id)?.type ?? '');
  const { edit, follow, add, remove, copied, paste, duplicate } = useActions({
    editor,
    text,
    graph,
    types,
    chosen: there,
    readOnly,
    broken,
    choose: setChosen,
  });
  useKeys(root, {
    copy: copied,
    cut: () => {
      const clip = readOnly ? null : copied();
      if (clip !== null) remove(there);
      return clip;
    },
    paste,
    duplicate,
    selectAll: () => setChosen(graph.nodes.map(({ id }) => id)),
    undo: () => !readOnly && editor.current?.undo(),
    redo: () => !readOnly && editor.current?.redo(),
    save: onSave,
  });
  const show = (line: number | null) => {
    setChosen([]);
    // Only what can be seen is scrolled to.
    if (line !== null) requestAnimationFrame(() => editor.current?.goTo(line));
  };
  return (
    <div className={styles.editor} ref={root}>
      <div className={styles.canvas}>
        <Tools
          readOnly={readOnly}
          runs={runs}
          onAdd={() => setAdding(true)}
          onSettings={() => {
            choose([]);
            setSettings(!settings);
          }}
          onEdit={edit}
          onUndo={() => editor.current?.undo()}
          onRedo={() => editor.current?.redo()}
        />
        <section className={styles.drawing} aria-label="Canvas">
          {broken && (
            <div className={styles.broken}>
              <WarnNote>The document is no valid YAML now; the canvas shows it as it last was.</WarnNote>
            </div>
          )}
          {!broken && graph.nodes.length === 0 && (
            <div className={styles.empty}>
              <p>There is no node yet.</p>
              {!readOnly && (
                <Button look="primary" onClick={() => setAdding(true)}>
                  Add the first one
                </Button>
              )}
            </div>
          )}
          <EditCanvas
            graph={graph}
            bad={bad}
            selected={selected}
            readOnly={readOnly || broken}
            onSelect={setChosen}
            onConnect={(source, target) => edit((before) => follow(before, source, target))}
            onRemove={remove}
            onMove={(places) => edit((before) => placeNodes(before, places))}
            onEdge={setEdges}
          />
        </section>
      </div>
      <div className={styles.right}>
        <div style={{ display: (there.length === 0 && !settings) || broken ? 'contents' : 'none' }}>
          <YamlEditor
            ref={editor}
            initial={initial}
            readOnly={readOnly}
            problems={problems}
            known={writing.known}
            onChange={onChange}
            onSave={onSave}
          />
        </div>
        {settings && !broken && there.length === 0 && (
          <FlowForm
            problems={problems}
            writing={writing}
            readOnly={readOnly}
            onEdit={edit}
            onShow={show}
            onClose={() => setSettings(false)}
          />
        )}
        {only !== undefined && (
          <NodeForm
            key={only}
            node={only}
            type={typeOfNode(only)}
            graph={graph}
            problems={problems}
            writing={writing}
            readOnly={readOnly}
            onEdit={edit}
            onSelect={(node) => setChosen(node === null ? [] : [node])}
            onShow={() => show(linesOf(text).get(only) ?? null)}
            onDuplicate={duplicate}
            onRemove={() => remove([only])}
          >
            <EdgeList
              node={only}
              graph={graph}
              actions={typeOfNode(only)?.actions ?? []}
              readOnly={readOnly}
              onEdit={edit}
              onSelect={(node) => setChosen([node])}
            />
          </NodeForm>
        )}
        {there.length > 1 && !broken && (
          <Several
            nodes={there}
            readOnly={readOnly}
            onDuplicate={duplicate}
            onRemove={() => remove(there)}
            onClose={() => setChosen([])}
          />
        )}
      </div>
      <Problems problems={problems} checking={checking} onGo={(problem) => show(problem.line)} />
      <Palette
        open={adding}
        onClose={() => setAdding(false)}
        onChoose={(type) => {
          add(type);
          setAdding(false);
        }}
      />
      {edges.length > 0 && !readOnly && (
        <EdgeForm
          key={edges[0]?.id}
          edges={edges}
          actions={typeOfNode(edges[0]?.from)?.actions ?? []}
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
