import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Ban, RotateCcw } from 'lucide-react';
import { useState } from 'react';

import { flowQuery } from '~/api/flows';
import { cancelRun, isLive, redriveRun, type Run } from '~/api/runs';
import { useMay } from '~/api/session';
import { duration } from '~/lib/times';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Copy } from '~/ui/Copy';
import { Confirm, Dialog } from '~/ui/Dialog';
import { Select } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import frame from '~/ui/Frame.module.css';
import { Badge, Status } from '~/ui/Status';
import { Ago } from '~/ui/Time';

import styles from './RunPage.module.css';

interface Props {
  run: Run;
  /** The node that is looked at: a redrive may begin there. */
  node: string | null;
  onRedriven: () => void;
}

/** Which run this is, how it stands, and what can be done about it. */
export function RunHead({ run, node, onRedriven }: Props) {
  const mayWrite = useMay('runs:write');
  const [asking, setAsking] = useState<'cancel' | 'redrive' | null>(null);
  const live = isLive(run.status);
  const redrivable = run.status === 'failed' || run.status === 'cancelled';
  return (
    <header className={frame.head}>
      <div className={frame.what}>
        <div className={frame.line}>
          <h1>
            <Link to="/flows/$flowId" params={{ flowId: run.flow.id }}>
              {run.flow.name}
            </Link>
          </h1>
          <Status status={run.status} />
          {live && <span className="muted">{run.progress} %</span>}
          {run.attempt > 1 && <Badge>{`attempt ${run.attempt}`}</Badge>}
        </div>
        <div className={styles.meta}>
          <span>
            <code>{run.id}</code>
            <Copy text={run.id} label="Copy the run's id" />
          </span>
          <span>revision {run.flow.revision}</span>
          <span>
            started <Ago at={run.started_at} /> by {run.started_by}
          </span>
          {run.duration_ms !== null && <span>took {duration(run.duration_ms)}</span>}
          {run.parent_run && (
            <Link to="/runs/$runId" params={{ runId: run.parent_run }}>
              its parent run
            </Link>
          )}
          <span title="What its steps cost on AWS">${run.estimated_cost_usd.toFixed(6)}</span>
        </div>
      </div>
      {mayWrite && (
        <div className={frame.actions}>
          {live && (
            <Button look="danger" onClick={() => setAsking('cancel')}>
              <Ban aria-hidden />
              Cancel
            </Button>
          )}
          {redrivable && (
            <Button look="primary" onClick={() => setAsking('redrive')}>
              <RotateCcw aria-hidden />
              Redrive…
            </Button>
          )}
        </div>
      )}
      <Confirm
        title="Cancel the run?"
        text="No new step starts. Steps under way end, and are recorded."
        action="Cancel the run"
        open={asking === 'cancel'}
        onClose={() => setAsking(null)}
        onConfirm={() => cancelRun(run.id)}
      />
      {asking === 'redrive' && (
        <Redrive run={run} node={node} onClose={() => setAsking(null)} onRedriven={onRedriven} />
      )}
    </header>
  );
}

function Redrive({ run, node, onClose, onRedriven }: Props & { onClose: () => void }) {
  const flow = useQuery(flowQuery(run.flow.id));
  const [from, setFrom] = useState('');
  const newest = flow.data?.revision ?? run.flow.revision;
  const [revision, setRevision] = useState(String(run.flow.revision));
  const redrive = useAction(
    ['runs'],
    () =>
      redriveRun(run.id, {
        ...(from && { node: from }),
        ...(Number(revision) !== run.flow.revision && { revision: Number(revision) }),
      }),
    () => {
      onClose();
      onRedriven();
    },
  );
  const nodes = [...new Set([run.error?.node, node])].filter((one) => typeof one === 'string');
  return (
    <Dialog title="Redrive the run" open onClose={onClose}>
      <DialogForm
        action="Redrive"
        busy={redrive.isPending}
        error={redrive.error}
        onSubmit={() => redrive.mutate()}
        onCancel={onClose}
      >
        <Select
          label="From"
          hint="Steps that have succeeded are not executed again, unless they come after the one chosen."
          value={from}
          choices={[
            { value: '', label: 'The steps that failed' },
            ...nodes.map((name) => ({ value: name, label: `Node ${name}` })),
          ]}
          onChange={(event) => setFrom(event.target.value)}
        />
        <Select
          label="Revision of the flow"
          value={revision}
          choices={[
            { value: String(run.flow.revision), label: `${run.flow.revision}: as it was` },
            ...(newest > run.flow.revision
              ? [{ value: String(newest), label: `${newest}: the newest` }]
              : []),
          ]}
          onChange={(event) => setRevision(event.target.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
