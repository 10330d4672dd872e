/** The names of all flows, for lists that know their ids only. */
import { queryOptions, useQuery } from '@tanstack/react-query';

import { api, data } from '~/api/client';

const PAGE = 100;
const MOST = 1_000;

export const flowNamesQuery = queryOptions({
  queryKey: ['flows', 'names'],
  queryFn: async ({ signal }) => {
    const found: { id: string; name: string }[] = [];
    let cursor: string | null = null;
    do {
      const query: { sort: 'name'; limit: number; cursor?: string } = { sort: 'name', limit: PAGE };
      if (cursor !== null) query.cursor = cursor;
      const page = data(await api.GET('/v1/flows', { params: { query }, signal }));
      found.push(...page.items.map(({ id, name }) => ({ id, name })));
      cursor = page.next_cursor ?? null;
    } while (cursor !== null && found.length < MOST);
    return found;
  },
  staleTime: 30_000,
});

/** From a flow's id to its name; the id itself until that is known. */
export function useFlowName(): (id: string) => string {
  const { data: flows } = useQuery(flowNamesQuery);
  return (id) => flows?.find((flow) => flow.id === id)?.name ?? id;
}
