/** Runs, as lists and one by one. */
import { keepPreviousData, queryOptions } from '@tanstack/react-query';

import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';

export type RunSummary = Schemas['RunSummary'];
export type Run = Schemas['RunAnswer'];

export const RUN_STATUSES = ['queued', 'running', 'waiting', 'completed', 'failed', 'cancelled'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export interface RunFilter {
  flow?: string | undefined;
  status?: string | undefined;
  since?: string | undefined;
}

/** Whether a run goes on. */
export function isLive(status: string): boolean {
  return status === 'queued' || status === 'running' || status === 'waiting';
}

export function isRunStatus(value: string | undefined): value is RunStatus {
  return RUN_STATUSES.some((status) => status === value);
}

const HOUR_MS = 3_600_000;

/** How far back a list goes. */
export const SPANS = [
  { value: '1h', label: 'Last hour', ms: HOUR_MS },
  { value: '24h', label: 'Last day', ms: 24 * HOUR_MS },
  { value: '7d', label: 'Last week', ms: 168 * HOUR_MS },
] as const;

/** The moment since when runs are wanted: to the minute, so that the pages of one list agree. */
function moment(since: string | undefined): string | null {
  const span = SPANS.find(({ value }) => value === since);
  return span ? `${new Date(Date.now() - span.ms).toISOString().slice(0, 16)}:00Z` : null;
}

export function runsQuery(filter: RunFilter) {
  const since = moment(filter.since);
  const query = {
    limit: 50,
    ...(filter.flow && { flow: filter.flow }),
    ...(isRunStatus(filter.status) && { status: [filter.status] }),
    ...(since && { since }),
  };
  return {
    ...listQuery(['runs', 'list', filter, since], async (cursor, signal) =>
      data(await api.GET('/v1/runs', { params: { query: { ...query, ...(cursor && { cursor }) } }, signal })),
    ),
    placeholderData: keepPreviousData,
  };
}

export function runQuery(id: string) {
  return queryOptions({
    queryKey: ['runs', id],
    queryFn: async ({ signal }) =>
      data(await api.GET('/v1/runs/{run_id}', { params: { path: { run_id: id } }, signal })),
  });
}

/** Attempts per page of the timeline. */
const TIMELINE_PAGE = 20_000;

/** How a run went so far: pages that are drawn as they are, and cursors to go on from. */
export function timelineQuery(id: string) {
  return queryOptions({
    queryKey: ['runs', id, 'timeline'],
    queryFn: async ({ signal }) => {
      const pages: Schemas['TimelineAnswer'][] = [];
      let last: Schemas['TimelineAnswer'] | undefined;
      do {
        const after = last?.cursor;
        last = data(
          await api.GET('/v1/runs/{run_id}/timeline', {
            params: {
              path: { run_id: id },
              query: { limit: TIMELINE_PAGE, ...(after !== undefined && { after }) },
            },
            signal,
          }),
        );
        pages.push(last);
      } while (last.more);
      return pages;
    },
    // What was asked for on the way to the page is not asked for again by the page.
    staleTime: 2_000,
    gcTime: 10_000,
  });
}

/** A key that no other request has. (`crypto.randomUUID` is there over HTTPS only.) */
function onceOnly(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
}

/** Start a run. Raises `ApiError` naming each input that is wrong. */
export async function startRun(flow: string, input: unknown, revision?: number): Promise<Run> {
  return data(
    await api.POST('/v1/flows/{flow_id}/runs', {
      params: { path: { flow_id: flow }, header: { 'idempotency-key': onceOnly() } },
      body: { input: input as never, labels: {}, ...(revision !== undefined && { revision }) },
    }),
  );
}

export async function cancelRun(id: string, reason = 'cancelled in the console'): Promise<void> {
  await api.POST('/v1/runs/{run_id}/cancel', { params: { path: { run_id: id } }, body: { reason } });
}

/** Remove a run that has ended, with all that belongs to it. */
export async function deleteRun(id: string): Promise<void> {
  await api.DELETE('/v1/runs/{run_id}', { params: { path: { run_id: id } } });
}

export async function redriveRun(id: string, from?: { node?: string; revision?: number }): Promise<void> {
  await api.POST('/v1/runs/{run_id}/redrive', { params: { path: { run_id: id } }, body: { ...from } });
}
