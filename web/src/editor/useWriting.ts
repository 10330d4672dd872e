import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';

import { type NodeType } from '~/api/nodeTypes';
import { type RunSummary } from '~/api/runs';
import { secretsQuery } from '~/api/secrets';
import { useMay } from '~/api/session';
import { placeOf, type Writing } from '~/editor/place';
import { lastRunsQuery, runOf, useInLastRun } from '~/editor/preview';
import type { FlowGraph } from '~/graph/model';
import { inputSchemaOf } from '~/views/flows/inputs';

export interface Runs {
  all: readonly RunSummary[];
  chosen: string | null;
  choose: (run: string) => void;
}

/** What expressions may name, and the run that their values are taken from: the newest, unless another is chosen. */
export function useWriting(
  flow: string,
  text: string,
  graph: FlowGraph,
  types: readonly NodeType[],
): { writing: Writing; runs: Runs } {
  const maySee = useMay('secrets:read');
  const mayTry = useMay('flows:write');
  const mayRead = useMay('runs:read');
  const secrets = useInfiniteQuery({ ...secretsQuery, enabled: maySee });
  const { data: all = [] } = useQuery(lastRunsQuery(flow, mayTry && mayRead));
  const [wish, setWish] = useState<string | null>(null);
  const last = all.find(({ id }) => id === wish) ?? all[0];
  const run = useMemo(() => runOf(last), [last]);
  const inLastRun = useInLastRun(run, (node) => placeOf(text, graph, node));
  const inputs = useMemo(() => (inputSchemaOf(text) ?? []).map(({ name }) => name), [text]);
  const names = secrets.data?.pages.flatMap((page) => page.items.map(({ key }) => key)) ?? [];
  return {
    writing: {
      text,
      run,
      place: null,
      known: { types, inputs, secrets: names, ...(inLastRun && { inLastRun }) },
    },
    runs: { all, chosen: last?.id ?? null, choose: setWish },
  };
}
