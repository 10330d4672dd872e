/** How edges look, by what they mean: lines are followed, dashes are waited for, dots carry a value, red ones an error. */
import { MarkerType, type Edge } from '@xyflow/react';

import type { EdgeKind, FlowEdge } from '~/graph/model';

const STROKES: Record<EdgeKind, { color: string; dashes?: string }> = {
  next: { color: 'var(--line-strong)' },
  error: { color: 'var(--bad)' },
  need: { color: 'var(--hold)', dashes: '7 4' },
  port: { color: 'var(--accent)', dashes: '2 4' },
};

const WORDS: Record<EdgeKind, string> = { next: '', error: 'error', need: 'needs', port: 'value' };

export interface DrawnData extends Record<string, unknown> {
  /** The flow's edges that are drawn as this one line: those of one kind between the same two nodes. */
  edges: readonly FlowEdge[];
}

export type DrawnEdge = Edge<DrawnData>;

/** The edges for the canvas. With `taken`, those that a run did not follow are faint. */
export function drawnEdges(edges: readonly FlowEdge[], taken?: ReadonlySet<string>): DrawnEdge[] {
  const lines = Map.groupBy(edges, ({ kind, from, to }) => `${kind}:${from}:${to}`);
  return [...lines].map(([id, together]) =>
    drawn(id, together, !taken || together.some((edge) => taken.has(edge.id))),
  );
}

function drawn(id: string, edges: readonly FlowEdge[], taken: boolean): DrawnEdge {
  const [first] = edges;
  const kind = first?.kind ?? 'next';
  const { color, dashes } = STROKES[kind];
  const label = edges.map((edge) => edge.label || (edges.length > 1 ? 'default' : '')).join(', ');
  return {
    id,
    source: first?.from ?? '',
    target: first?.to ?? '',
    type: 'smoothstep',
    data: { edges },
    ...(label && { label }),
    ariaLabel: `${first?.from ?? ''} to ${first?.to ?? ''} ${WORDS[kind]} ${label}`.trim(),
    markerEnd: { type: MarkerType.ArrowClosed, color, width: 16, height: 16 },
    style: {
      stroke: color,
      strokeWidth: taken ? 1.8 : 1.2,
      ...(dashes && { strokeDasharray: dashes }),
      opacity: taken ? 1 : 0.45,
    },
    labelStyle: { fill: 'var(--text)', fontSize: 12 },
    labelBgStyle: { fill: 'var(--surface)', fillOpacity: 0.92 },
    labelBgPadding: [5, 2],
    labelBgBorderRadius: 4,
  };
}
