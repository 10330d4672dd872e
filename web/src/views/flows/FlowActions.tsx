import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { Activity, Archive, ArchiveRestore, Play, Trash2 } from 'lucide-react';
import { useState } from 'react';

import { deleteFlow, setArchived, type FlowSummary } from '~/api/flows';
import { useMay } from '~/api/session';
import { Confirm } from '~/ui/Dialog';
import { Menu } from '~/ui/Menu';
import { useSay } from '~/ui/Toasts';
import { RunFlow } from '~/views/flows/RunFlow';

/** What can be done with a flow in a list. */
export function FlowActions({ flow }: { flow: FlowSummary }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const say = useSay();
  const mayWrite = useMay('flows:write');
  const mayRun = useMay('runs:write');
  const [asking, setAsking] = useState<'delete' | 'run' | null>(null);
  const archived = flow.status === 'archived';
  const changed = () => queries.invalidateQueries({ queryKey: ['flows'] });
  const archive = async () => {
    try {
      await setArchived(flow.id, !archived);
      say(
        archived ? `${flow.name} is active again.` : `${flow.name} is archived: nothing starts it any more.`,
      );
    } catch (error) {
      say(error instanceof Error ? error.message : 'That did not work.');
    }
    await changed();
  };
  return (
    <>
      <Menu
        label={`Actions for ${flow.name}`}
        items={[
          { label: 'Run…', icon: Play, disabled: !mayRun || archived, onSelect: () => setAsking('run') },
          {
            label: 'Its runs',
            icon: Activity,
            onSelect: () => void navigate({ to: '/runs', search: { flow: flow.id } }),
          },
          null,
          {
            label: archived ? 'Activate' : 'Archive',
            icon: archived ? ArchiveRestore : Archive,
            disabled: !mayWrite,
            onSelect: () => void archive(),
          },
          {
            label: 'Delete…',
            icon: Trash2,
            danger: true,
            disabled: !mayWrite,
            onSelect: () => setAsking('delete'),
          },
        ]}
      />
      <RunFlow flow={flow} open={asking === 'run'} onClose={() => setAsking(null)} />
      <Confirm
        title={`Delete ${flow.name}?`}
        text="The flow goes with all its revisions, and its live runs end. Its history of runs stays."
        action="Delete"
        open={asking === 'delete'}
        onClose={() => setAsking(null)}
        onConfirm={async () => {
          await deleteFlow(flow.id);
          await changed();
        }}
      />
    </>
  );
}
