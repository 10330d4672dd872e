/** What is wrong with a document, as the server finds while one types. */
import { useQuery } from '@tanstack/react-query';

import { api, data } from '~/api/client';
import { useDebounced } from '~/lib/useDebounced';

export interface Problem {
  line: number | null;
  field: string;
  message: string;
  severity: 'error' | 'warning';
}

const PAUSE_MS = 350;

async function validate(document: string, signal: AbortSignal): Promise<Problem[]> {
  const verdict = data(
    await api.POST('/v1/flows/validate', {
      headers: { 'Content-Type': 'application/yaml' },
      body: document as never,
      bodySerializer: (body: unknown) => body as string,
      signal,
    }),
  );
  const problems = (all: typeof verdict.errors, severity: Problem['severity']) =>
    all.map(({ line, field, message, suggestion }) => ({
      line: line ?? null,
      field,
      message: suggestion ? `${message}; did you mean ${suggestion}?` : message,
      severity,
    }));
  return [...problems(verdict.errors, 'error'), ...problems(verdict.warnings, 'warning')];
}

/** The problems of a document as it was when one last paused; those before it until then. */
export function useProblems(document: string): { problems: readonly Problem[]; checking: boolean } {
  const settled = useDebounced(document, PAUSE_MS);
  const found = useQuery({
    queryKey: ['validate', settled],
    queryFn: ({ signal }) => validate(settled, signal),
    placeholderData: (before) => before,
    staleTime: Infinity,
    gcTime: 60_000,
  });
  return { problems: found.data ?? [], checking: settled !== document || found.isFetching };
}

/** The node that a problem is about, if it is about one. */
export function nodeOf(problem: Problem): string | null {
  return /^nodes\.([\w-]+)/.exec(problem.field)?.[1] ?? null;
}

/** What is wrong with a field, or with something in it. */
export function faultOf(problems: readonly Problem[], place: string): string | null {
  const found = problems.find(
    ({ field, severity }) => severity === 'error' && (field === place || isIn(field, place)),
  );
  return found?.message ?? null;
}

function isIn(field: string, place: string): boolean {
  return field.startsWith(place) && /^[.[]/.test(field.slice(place.length));
}
