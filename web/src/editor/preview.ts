/** What expressions would give in a run that there was. */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useContext } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { isLive } from '~/api/runs';
import { WritingContext, type Place } from '~/editor/place';
import { useDebounced } from '~/lib/useDebounced';

export type Preview = Schemas['EvaluateAnswer'];

const PAUSE_MS = 300;
const LIVE_MS = 5_000;

/** The newest runs of a flow, to take values from. */
export function lastRunsQuery(flow: string, enabled: boolean) {
  return {
    queryKey: ['runs', 'last', flow],
    queryFn: async ({ signal }: { signal: AbortSignal }) =>
      data(await api.GET('/v1/runs', { params: { query: { flow, limit: 10 } }, signal })).items,
    enabled,
  };
}

export function runOf(run: { id: string; status: string } | undefined) {
  return run ? { id: run.id, live: isLive(run.status) } : null;
}

async function evaluate(
  run: string,
  value: unknown,
  place: Place | null,
  signal?: AbortSignal,
): Promise<Preview> {
  const wish = { join: false, alias: 'item', index: 0, after: [], ...place, value };
  return data(
    await api.POST('/v1/runs/{run_id}/evaluate', {
      params: { path: { run_id: run } },
      body: wish as never,
      ...(signal && { signal }),
    }),
  );
}

/** Whether a value has an expression in it that is complete. */
export function hasExpression(value: unknown): boolean {
  if (typeof value === 'string') return /(^|[^$])\$\{[^}]/.test(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).some(hasExpression);
}

/**
 * The value of what is being written, as it was when one last paused; null while there is none to show.
 *
 * `each`: the list that its `item` is of, null for none; left out: what the node goes through.
 */
export function usePreview(value: unknown, each?: unknown): Preview | null {
  const { run, place } = useContext(WritingContext);
  const settled = useDebounced(JSON.stringify(value ?? null), PAUSE_MS);
  const there = place && { ...place, ...(each !== undefined && { each }) };
  const wanted = run !== null && hasExpression(value);
  const found = useQuery({
    queryKey: ['preview', run?.id, settled, JSON.stringify(there)],
    queryFn: ({ signal }) => evaluate(run?.id ?? '', JSON.parse(settled), there, signal),
    enabled: wanted && hasExpression(JSON.parse(settled)),
    placeholderData: (before) => before,
    staleTime: run?.live ? LIVE_MS : Infinity,
    gcTime: 60_000,
    retry: false,
  });
  return wanted ? (found.data ?? null) : null;
}

/** For completions: what a path was in the last run. */
export function useInLastRun(run: { id: string; live: boolean } | null, placeOf: (node: string) => Place) {
  const queries = useQueryClient();
  if (run === null) return undefined;
  return async (path: string, node: string | null): Promise<unknown> => {
    const place = node === null ? null : placeOf(node);
    const answer = await queries.query({
      queryKey: ['preview', run.id, path, JSON.stringify(place)],
      queryFn: () => evaluate(run.id, `\${${path}}`, place),
      staleTime: run.live ? LIVE_MS : Infinity,
      retry: false,
    });
    return answer.error ? undefined : answer.value;
  };
}
