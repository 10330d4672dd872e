/** Who is using the console, and what they may do. */
import { queryOptions, useQuery, type QueryClient } from '@tanstack/react-query';

import { api, ApiError, data, inSession, keepCsrf, type Schemas } from '~/api/client';

export type Identity = Schemas['Identity'];
export type Permission = Schemas['Permission'];

/** The present session; null for nobody. One that ends under way is an error: what was known of it stays. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: async ({ signal }): Promise<Identity | null> => {
    try {
      const identity = data(await api.GET('/v1/session', { signal }));
      keepCsrf(identity.csrf_token);
      return identity;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401 && !inSession()) return null;
      throw error;
    }
  },
  staleTime: 60_000,
});

/** Whether strangers may make an account here; asked by who is nobody yet. */
export const signUpQuery = queryOptions({
  queryKey: ['signup'],
  queryFn: async ({ signal }) => data(await api.GET('/v1/accounts', { signal })).open,
  staleTime: Infinity,
});

export async function logIn(username: string, password: string): Promise<Identity> {
  const identity = data(await api.POST('/v1/session', { body: { username, password } }));
  keepCsrf(identity.csrf_token);
  return identity;
}

/** End the session, here and on the server; one that has ended already may be left as well. */
export async function logOut(queries: QueryClient): Promise<void> {
  try {
    await api.DELETE('/v1/session');
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) throw error;
  }
  forget(queries);
}

/** Know nobody any more, and nothing of what they saw. */
export function forget(queries: QueryClient): void {
  keepCsrf(null);
  queries.setQueryData(sessionQuery.queryKey, null);
  queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== sessionQuery.queryKey[0] });
}

/** Whether the user may do something; false while nobody is known. */
export function useMay(permission: Permission): boolean {
  const { data: identity } = useQuery(sessionQuery);
  return identity?.permissions.includes(permission) ?? false;
}
