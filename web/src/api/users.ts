/** The users of the account. */
import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';

export type User = Schemas['UserAnswer'];

export const usersQuery = listQuery(['users'], async (cursor, signal) =>
  data(await api.GET('/v1/users', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal })),
);
