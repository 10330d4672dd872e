/** Lists of the server: pages joined by their cursors. */
import { infiniteQueryOptions, type QueryKey } from '@tanstack/react-query';

export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

/** A list as a query; `load` gets the cursor of the page that is wanted. */
export function listQuery<T>(
  key: QueryKey,
  load: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
) {
  return infiniteQueryOptions({
    queryKey: key,
    queryFn: ({ pageParam, signal }) => load(pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
}
