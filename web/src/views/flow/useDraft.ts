import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useBlocker } from '@tanstack/react-router';
import { useEffect, useState } from 'react';

import { ApiError } from '~/api/client';
import { flowQuery, updateFlow, type Flow } from '~/api/flows';
import { useSay } from '~/ui/Toasts';
import { withEndsOf, withPlainEnds } from '~/views/flow/ends';

/** A flow's document as it is being written, and its way to the server. */
export function useDraft(flow: Flow) {
  const queries = useQueryClient();
  const say = useSay();
  // What was read first stays: somebody else's change must not come into what is being written.
  const [base, setBase] = useState({ document: withPlainEnds(flow.document), revision: flow.revision });
  const [text, setText] = useState(base.document);
  const dirty = text !== base.document;
  const save = useMutation({
    mutationFn: (revision: number) => updateFlow(flow.id, withEndsOf(flow.document, text), revision),
    onSuccess: async (saved) => {
      setBase({ document: withPlainEnds(saved.document), revision: saved.revision });
      say(`Saved as revision ${saved.revision}.`);
      queries.setQueryData(flowQuery(flow.id).queryKey, saved);
      await queries.invalidateQueries({ queryKey: ['flows'] });
    },
  });
  const blocker = useBlocker({ shouldBlockFn: () => dirty, enableBeforeUnload: dirty, withResolver: true });
  useEffect(() => {
    // Who left while it was being saved need not be asked any more.
    if (!dirty && blocker.status === 'blocked') blocker.proceed();
  }, [dirty, blocker]);
  useEffect(() => {
    document.title = `${dirty ? '• ' : ''}${flow.name} · flowrunner`;
  }, [dirty, flow.name]);
  return {
    text,
    setText,
    restore: (document: string) => setText(withPlainEnds(document)),
    dirty,
    base,
    saving: save.isPending,
    error: save.error,
    /** Somebody else has saved since: the error says so. */
    lost: save.error instanceof ApiError && save.error.status === 412,
    save: () => dirty && !save.isPending && save.mutate(base.revision),
    /** Save, and go on only if that was possible. */
    saveThen: (next: () => void) => !save.isPending && save.mutate(base.revision, { onSuccess: next }),
    /** Save over what somebody else has saved; their revision stays in the history. */
    saveOver: (revision: number) => save.mutate(revision),
    blocker,
  };
}
