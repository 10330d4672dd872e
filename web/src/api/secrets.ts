/** The names of secrets. */
import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';

export type Secret = Schemas['SecretModel'];

export const secretsQuery = listQuery(['secrets'], async (cursor, signal) =>
  data(
    await api.GET('/v1/secrets', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal }),
  ),
);
