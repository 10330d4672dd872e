/** Where the documents say what to do about an error's code. */
import { queryOptions, useQuery } from '@tanstack/react-query';

const PAGE = '/docs/errors/';

/** The places of the page about errors; none where the documents are not served. */
const placesQuery = queryOptions({
  queryKey: ['docs', 'errors'],
  queryFn: async ({ signal }): Promise<ReadonlySet<string>> => {
    const answer = await fetch(PAGE, { signal, credentials: 'omit' });
    return new Set(answer.ok ? placesOf(await answer.text()) : []);
  },
  staleTime: Infinity,
  gcTime: Infinity,
  retry: false,
});

export function placesOf(page: string): string[] {
  return [...page.matchAll(/<h[1-6] id="([a-z0-9_]+)"/g)].map(([, id = '']) => id);
}

/** The place of a code among those of the page: of `HttpStatus:503` it is the one of all `HttpStatus`. */
export function placeOf(code: string, places: ReadonlySet<string>): string | null {
  const [name = '', detail] = code.toLowerCase().split(':');
  const found = [...(detail === undefined ? [] : [`${name}_1`]), name].find((one) => places.has(one));
  return found ?? null;
}

/** The address of what the documents say of a code; null where they do not. */
export function useErrorPage(code: string | null): string | null {
  const places = useQuery({ ...placesQuery, enabled: code !== null });
  const place = code === null || !places.data ? null : placeOf(code, places.data);
  return place === null ? null : `${PAGE}#${place}`;
}
