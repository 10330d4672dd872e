/** Who is using the console, and what they may do. */
import { queryOptions, useQuery } from '@tanstack/react-query';

import { api, ApiError, data, keepCsrf, type Schemas } from '~/api/client';

export type Identity = Schemas['Identity'];
export type Permission = Schemas['Permission'];

/** The present session; null for nobody. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: async ({ signal }): Promise<Identity | null> => {
    try {
      const identity = data(await api.GET('/v1/session', { signal }));
      keepCsrf(identity.csrf_token);
      return identity;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  },
  staleTime: 60_000,
});

export async function logIn(username: string, password: string): Promise<Identity> {
  const identity = data(await api.POST('/v1/session', { body: { username, password } }));
  keepCsrf(identity.csrf_token);
  return identity;
}

export async function logOut(): Promise<void> {
  await api.DELETE('/v1/session');
  keepCsrf(null);
}

/** Whether the user may do something; false while nobody is known. */
export function useMay(permission: Permission): boolean {
  const { data: identity } = useQuery(sessionQuery);
  return identity?.permissions.includes(permission) ?? false;
}
