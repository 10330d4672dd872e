import { useMutation, useQueryClient, type QueryKey } from '@tanstack/react-query';

/** A change of something on the server, after which the lists under `key` are read again. */
export function useAction<Given = void, Answer = unknown>(
  key: QueryKey,
  act: (given: Given) => Promise<Answer>,
  onDone?: (answer: Answer) => void,
) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSuccess: async (answer) => {
      await queries.invalidateQueries({ queryKey: key });
      onDone?.(answer);
    },
  });
}
