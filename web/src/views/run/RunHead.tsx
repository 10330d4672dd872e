import { Link, useNavigate } from '@tanstack/react-router';
import { Ban, RotateCcw, Trash2 } from 'lucide-react';
import { useState } from 'react';

import { cancelRun, deleteRun, isLive, type Run } from '~/api/runs';
import { useMay } from '~/api/session';
import { duration } from '~/lib/times';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Copy } from '~/ui/Copy';
import { Confirm } from '~/ui/Dialog';
import frame from '~/ui/Frame.module.css';
import { Menu } from '~/ui/Menu';
import { Starter } from '~/ui/Starter';
import { Badge, Status } from '~/ui/Status';
import { Ago } from '~/ui/Time';

import styles from './RunPage.module.css';

/** Of no interest to who looks at the run: it stands in the log. */
const INTERNAL = 'correlation_id';

interface Props {
  run: Run;
  /** Its flow stands in another, or is an agent's: there is no page of it. */
  inline: boolean;
  onRedrive: () => void;
}

/** Which run this is, how it stands, and what can be done about it. */
export function RunHead({ run, inline, onRedrive }: Props) {
  const mayWrite = useMay('runs:write');
  const navigate = useNavigate();
  const [asking, setAsking] = useState<'cancel' | 'delete' | null>(null);
  const live = isLive(run.status);
  const cancel = useAction(['runs'], () => cancelRun(run.id));
  const remove = useAction(
    ['runs', 'list'],
    () => deleteRun(run.id),
    () => void navigate({ to: '/runs' }),
  );
  return (
    <header className={frame.head}>
      <div className={frame.what}>
        <div className={frame.line}>
          <h1>
            {inline ? (
              run.flow.name
            ) : (
              <Link to="/flows/$flowId" params={{ flowId: run.flow.id }}>
                {run.flow.name}
              </Link>
            )}
          </h1>
          <Status status={run.status} />
          {live && <span className="muted">{run.progress} %</span>}
          {run.attempt > 1 && <Badge>{`attempt ${run.attempt}`}</Badge>}
        </div>
        <Facts run={run} />
      </div>
      {mayWrite && (
        <div className={frame.actions}>
          {live && (
            <Button look="danger" onClick={() => setAsking('cancel')}>
              <Ban aria-hidden />
              Cancel
            </Button>
          )}
          {(run.status === 'failed' || run.status === 'cancelled') && (
            <Button look="primary" onClick={onRedrive}>
              <RotateCcw aria-hidden />
              Redrive…
            </Button>
          )}
          {!live && (
            <Menu
              label="More"
              items={[
                ...(run.status === 'completed'
                  ? [{ label: 'Redrive from a node…', icon: RotateCcw, onSelect: onRedrive }]
                  : []),
                { label: 'Delete the run…', icon: Trash2, danger: true, onSelect: () => setAsking('delete') },
              ]}
            />
          )}
        </div>
      )}
      <Confirm
        title="Cancel the run?"
        text="No new step starts. Steps under way end, and are recorded."
        action="Cancel the run"
        open={asking === 'cancel'}
        onClose={() => setAsking(null)}
        onConfirm={() => cancel.mutateAsync()}
      />
      <Confirm
        title="Delete the run?"
        text="Its steps, values and events are deleted with it. Nobody can take that back."
        action="Delete"
        open={asking === 'delete'}
        onClose={() => setAsking(null)}
        onConfirm={() => remove.mutateAsync()}
      />
    </header>
  );
}

function Facts({ run }: { run: Run }) {
  const labels = Object.entries(run.labels).filter(([key]) => key !== INTERNAL);
  return (
    <div className={styles.meta}>
      <span className={styles.id}>
        <code>{run.id}</code>
        <Copy text={run.id} label="Copy the run's id" />
      </span>
      <span>revision {run.flow.revision}</span>
      <span>
        started <Ago at={run.started_at} /> by <Starter by={run.started_by} />
      </span>
      {run.duration_ms !== null && <span>took {duration(run.duration_ms)}</span>}
      {run.parent_run && (
        <Link to="/runs/$runId" params={{ runId: run.parent_run }}>
          its parent run waits for it
        </Link>
      )}
      <span title="What its steps cost on AWS, estimated">${run.estimated_cost_usd.toFixed(6)}</span>
      {labels.map(([key, value]) => (
        <span key={key} className={styles.label}>
          {key}: {value}
        </span>
      ))}
    </div>
  );
}
