/** What can be done to nodes, from the canvas, from forms and by keys: each one change of the document. */
import type { RefObject } from 'react';

import { typeOf, type NodeType } from '~/api/nodeTypes';
import { copyNodes, pasteNodes } from '~/editor/clipboard';
import { addNode, connect, disconnect, freeName, nextAction, removeNodes } from '~/editor/nodes';
import type { EditorHandle } from '~/editor/YamlEditor';
import type { FlowEdge, FlowGraph } from '~/graph/model';
import { useSay } from '~/ui/Toasts';

interface Place {
  editor: RefObject<EditorHandle | null>;
  text: string;
  graph: FlowGraph;
  types: readonly NodeType[];
  /** The nodes that are chosen. */
  chosen: readonly string[];
  readOnly: boolean;
  /** The document is no valid YAML now. */
  broken: boolean;
  choose: (nodes: readonly string[]) => void;
}

export function useActions({ editor, text, graph, types, chosen, readOnly, broken, choose }: Place) {
  const say = useSay();
  const follow = (before: string, from: string, to: string) => {
    const type = graph.nodes.find((node) => node.id === from)?.type ?? '';
    return connect(before, from, to, nextAction(graph, from, to, typeOf(types, type)?.actions ?? []));
  };
  /** A change from the canvas or a form; one that the document does not allow says why. */
  const edit = (change: (text: string) => string) => {
    try {
      editor.current?.replace(change(editor.current.text()));
    } catch (error) {
      say(error instanceof Error ? error.message : 'The document is broken: mend it first.');
    }
  };
  const add = (type: NodeType) => {
    const id = freeName(text, type.name);
    edit((before) => {
      const after = addNode(before, id, type.name, type.example);
      // A new node follows the one that was chosen: that is what one is about to draw.
      return chosen.length === 1 && chosen[0] !== undefined ? follow(after, chosen[0], id) : after;
    });
    choose([id]);
  };
  const remove = (ids: readonly string[], lines: readonly FlowEdge[] = []) => {
    edit((before) => removeNodes(lines.reduce(disconnect, before), ids));
    choose([]);
  };
  const copied = () => (chosen.length > 0 && !broken ? copyNodes(text, chosen) : null);
  const paste = (clip: string) => {
    if (readOnly || broken) return false;
    const pasted = pasteNodes(text, clip);
    if (pasted === null) return false;
    edit(() => pasted.text);
    choose(pasted.ids);
    return true;
  };
  const duplicate = () => {
    const clip = copied();
    if (clip !== null) paste(clip);
  };
  return { edit, follow, add, remove, copied, paste, duplicate };
}
