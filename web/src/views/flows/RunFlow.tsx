import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Play } from 'lucide-react';
import { useState, type SyntheticEvent } from 'react';

import { flowQuery } from '~/api/flows';
import { startRun } from '~/api/runs';
import { Button } from '~/ui/Button';
import { Dialog, DialogActions } from '~/ui/Dialog';
import { ErrorNote, Skeleton } from '~/ui/Notes';
import { InputForm, useInput } from '~/views/flows/InputForm';
import { inputSchemaOf } from '~/views/flows/inputs';

interface Props {
  flow: { id: string; name: string };
  open: boolean;
  onClose: () => void;
}

/** Asks for a flow's input, and starts a run with it. */
export function RunFlow({ flow, open, onClose }: Props) {
  return (
    <Dialog title={`Run ${flow.name}`} open={open} onClose={onClose}>
      <Body flow={flow} onClose={onClose} />
    </Dialog>
  );
}

function Body({ flow, onClose }: Omit<Props, 'open'>) {
  const document = useQuery(flowQuery(flow.id));
  if (document.isPending) return <Skeleton lines={3} />;
  if (document.isError) return <ErrorNote error={document.error} onRetry={() => void document.refetch()} />;
  return <Form flow={flow} schema={inputSchemaOf(document.data.document)} onClose={onClose} />;
}

function Form({ flow, schema, onClose }: Omit<Props, 'open'> & { schema: ReturnType<typeof inputSchemaOf> }) {
  const navigate = useNavigate();
  const queries = useQueryClient();
  const input = useInput(schema);
  const [problem, setProblem] = useState<string | null>(null);
  const start = useMutation({
    mutationFn: (value: unknown) => startRun(flow.id, value),
    onSuccess: async (run) => {
      await queries.invalidateQueries({ queryKey: ['runs'] });
      onClose();
      await navigate({ to: '/runs/$runId', params: { runId: run.id } });
    },
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const value = input.read();
    setProblem(value.ok ? null : value.problem);
    if (value.ok) start.mutate(value.value);
  };
  return (
    <form onSubmit={submit} style={{ display: 'grid', gap: 14 }}>
      <InputForm input={input} />
      {problem !== null && <ErrorNote error={new Error(problem)} />}
      {start.isError && <ErrorNote error={start.error} />}
      <DialogActions>
        <Button onClick={onClose}>Cancel</Button>
        <Button look="primary" type="submit" busy={start.isPending}>
          <Play aria-hidden />
          Run
        </Button>
      </DialogActions>
    </form>
  );
}
