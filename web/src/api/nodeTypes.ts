/** The catalogue of node types. */
import { queryOptions } from '@tanstack/react-query';

import { api, data, type Schemas } from '~/api/client';

export type NodeType = Schemas['NodeTypeAnswer'];

export const nodeTypesQuery = queryOptions({
  queryKey: ['node-types'],
  queryFn: async ({ signal }) => data(await api.GET('/v1/node-types', { signal })).items,
  staleTime: 300_000,
});

/** The JSON Schema of a flow's document. */
export const flowSchemaQuery = queryOptions({
  queryKey: ['schema', 'flow'],
  queryFn: async ({ signal }) => data(await api.GET('/v1/schema/flow', { signal })) as unknown,
  staleTime: Infinity,
});

/** The type of a name or an alias. */
export function typeOf(types: readonly NodeType[], name: string): NodeType | undefined {
  return types.find((type) => type.name === name || type.aliases.includes(name));
}
