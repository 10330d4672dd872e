import { useQueryClient } from '@tanstack/react-query';
import { Ban, RotateCcw } from 'lucide-react';
import { useState } from 'react';

import { cancelRun, isLive, redriveRun, type RunSummary } from '~/api/runs';
import { Button } from '~/ui/Button';
import { Confirm } from '~/ui/Dialog';
import { useSay } from '~/ui/Toasts';

import styles from './RunsPage.module.css';

/** What is done with all chosen runs that it fits. */
export function ManyRuns({ runs, onDone }: { runs: readonly RunSummary[]; onDone: () => void }) {
  const queries = useQueryClient();
  const say = useSay();
  const [asking, setAsking] = useState<'cancel' | 'redrive' | null>(null);
  const live = runs.filter((run) => isLive(run.status));
  const ended = runs.filter((run) => run.status === 'failed' || run.status === 'cancelled');
  const each = async (what: string, which: readonly RunSummary[], act: (id: string) => Promise<void>) => {
    const done = await Promise.allSettled(which.map((run) => act(run.id)));
    const refused = done.filter((one) => one.status === 'rejected').length;
    say(`${which.length - refused} ${what}${refused ? `, ${refused} refused` : ''}.`);
    onDone();
    await queries.invalidateQueries({ queryKey: ['runs'] });
  };
  if (runs.length === 0) return null;
  return (
    <div className={styles.many}>
      <span className="muted nowrap">{runs.length} chosen</span>
      <Button look="danger" disabled={live.length === 0} onClick={() => setAsking('cancel')}>
        <Ban aria-hidden />
        Cancel {live.length || ''}
      </Button>
      <Button disabled={ended.length === 0} onClick={() => setAsking('redrive')}>
        <RotateCcw aria-hidden />
        Redrive {ended.length || ''}
      </Button>
      <Confirm
        title={`Cancel ${countOf(live)}?`}
        text="No new step starts. Steps under way end, and are recorded."
        action={`Cancel ${countOf(live)}`}
        open={asking === 'cancel'}
        onClose={() => setAsking(null)}
        onConfirm={() => each('cancelled', live, (id) => cancelRun(id))}
      />
      <Confirm
        title={`Redrive ${countOf(ended)}?`}
        text="Each goes on from the steps that failed, with the revision of its flow that it had."
        action={`Redrive ${countOf(ended)}`}
        danger={false}
        open={asking === 'redrive'}
        onClose={() => setAsking(null)}
        onConfirm={() => each('redriven', ended, (id) => redriveRun(id))}
      />
    </div>
  );
}

function countOf(runs: readonly RunSummary[]): string {
  return `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}`;
}
