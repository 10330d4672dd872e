/** Flows, as lists and documents. */
import { keepPreviousData, queryOptions } from '@tanstack/react-query';

import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';

export type FlowSummary = Schemas['FlowSummary'];
export type Flow = Schemas['FlowAnswer'];
export type FlowStatus = Schemas['FlowStatus'];

export interface FlowFilter {
  q?: string | undefined;
  status?: string | undefined;
  label?: string | undefined;
}

export const FLOW_STATUSES: readonly FlowStatus[] = ['active', 'draft', 'archived'];

export function isFlowStatus(value: string | undefined): value is FlowStatus {
  return FLOW_STATUSES.some((status) => status === value);
}

export function flowsQuery(filter: FlowFilter) {
  const query = {
    sort: '-updated_at',
    limit: 50,
    ...(filter.q && { q: filter.q }),
    ...(isFlowStatus(filter.status) && { status: filter.status }),
    ...(filter.label && { label: [filter.label] }),
  } as const;
  return {
    ...listQuery(['flows', 'list', filter], async (cursor, signal) =>
      data(
        await api.GET('/v1/flows', { params: { query: { ...query, ...(cursor && { cursor }) } }, signal }),
      ),
    ),
    placeholderData: keepPreviousData,
  };
}

export function flowQuery(id: string) {
  return queryOptions({
    queryKey: ['flows', id],
    queryFn: async ({ signal }) =>
      data(await api.GET('/v1/flows/{flow_id}', { params: { path: { flow_id: id } }, signal })),
  });
}

/** Save a new flow. Raises `ApiError` naming each place that is wrong. */
export async function createFlow(document: string, status: 'active' | 'draft' = 'active'): Promise<Flow> {
  return data(
    await api.POST('/v1/flows', {
      params: { query: { status } },
      headers: { 'Content-Type': 'application/yaml' },
      body: document as never,
      bodySerializer: (body: unknown) => body as string,
    }),
  );
}

/** Save a flow's next revision. Raises `ApiError` with status 412 when `revision` is not the newest any more. */
export async function updateFlow(id: string, document: string, revision: number): Promise<Flow> {
  return data(
    await api.PUT('/v1/flows/{flow_id}', {
      params: { path: { flow_id: id }, header: { 'if-match': `"${revision}"` } },
      headers: { 'Content-Type': 'application/yaml' },
      body: document as never,
      bodySerializer: (body: unknown) => body as string,
    }),
  );
}

export async function setArchived(id: string, archived: boolean): Promise<void> {
  const params = { path: { flow_id: id } };
  if (archived) await api.POST('/v1/flows/{flow_id}/archive', { params });
  else await api.POST('/v1/flows/{flow_id}/activate', { params });
}

export async function deleteFlow(id: string): Promise<void> {
  await api.DELETE('/v1/flows/{flow_id}', { params: { path: { flow_id: id }, query: { force: true } } });
}
