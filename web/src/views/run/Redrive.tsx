import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { flowQuery } from '~/api/flows';
import { redriveRun, type Run } from '~/api/runs';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { Select } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { useSay } from '~/ui/Toasts';

/** The steps that failed; there are none in a run that has completed. */
const FAILED = '';

interface Props {
  run: Run;
  /** The nodes that the run has come to. */
  nodes: readonly string[];
  /** The node from which it was asked for, if it was at one. */
  from: string | null;
  onClose: () => void;
  onRedriven: () => void;
}

/** Asks from where a run goes on, and with which revision of its flow: the newest, unless one chooses otherwise. */
export function Redrive({ run, nodes, from, onClose, onRedriven }: Props) {
  // Whoever has just mended it elsewhere must find their revision.
  const flow = useQuery({ ...flowQuery(run.flow.id), refetchOnMount: 'always' });
  const completed = run.status === 'completed';
  const [node, setNode] = useState(from ?? (completed ? (nodes[0] ?? FAILED) : FAILED));
  const [chosen, setChosen] = useState<number | null>(null);
  const own = run.flow.revision;
  const newest = flow.data?.revision ?? own;
  const revision = chosen ?? newest;
  const say = useSay();
  const redrive = useAction(
    ['runs'],
    () => redriveRun(run.id, { ...(node && { node }), ...(revision !== own && { revision }) }),
    () => {
      say('The run goes on.');
      onClose();
      onRedriven();
    },
  );
  return (
    <Dialog title="Redrive the run" open onClose={onClose}>
      <DialogForm action="Redrive" act={redrive} wait={!flow.isFetchedAfterMount} onCancel={onClose}>
        <Select
          label="From"
          hint="Steps that have succeeded are not executed again, unless they come after the one chosen."
          value={node}
          choices={[
            ...(completed ? [] : [{ value: FAILED, label: 'The steps that failed' }]),
            ...nodes.map((name) => ({ value: name, label: `Node ${name}` })),
          ]}
          onChange={(event) => setNode(event.target.value)}
        />
        <Select
          label="Revision of the flow"
          hint={newest > own ? `The flow was changed since: the run was at revision ${own}.` : undefined}
          value={String(revision)}
          choices={[
            { value: String(own), label: `${own}: as it was` },
            ...(newest > own ? [{ value: String(newest), label: `${newest}: the newest` }] : []),
          ]}
          onChange={(event) => setChosen(Number(event.target.value))}
        />
      </DialogForm>
    </Dialog>
  );
}
