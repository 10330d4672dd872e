import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Activity, Ban, RotateCcw } from 'lucide-react';
import { useState } from 'react';

import { flowNamesQuery } from '~/api/flowNames';
import { cancelRun, isLive, redriveRun, RUN_STATUSES, runsQuery, SPANS, type RunSummary } from '~/api/runs';
import { useMay } from '~/api/session';
import { duration } from '~/lib/times';
import { Button } from '~/ui/Button';
import { Select } from '~/ui/Field';
import { Empty } from '~/ui/Notes';
import { Bar, Page } from '~/ui/Page';
import { Status } from '~/ui/Status';
import { PagedTable, type Column } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { useSay } from '~/ui/Toasts';

import styles from './RunsPage.module.css';

const route = getRouteApi('/runs');
const REFRESH_MS = 3_000;

/** Runs of all flows, the newest first. */
export function RunsPage() {
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const mayWrite = useMay('runs:write');
  const { data: flows = [] } = useQuery(flowNamesQuery);
  const runs = useInfiniteQuery({ ...runsQuery(filter), refetchInterval: REFRESH_MS });
  const change = (next: typeof filter) => {
    setChosen(new Set());
    void navigate({ search: next, replace: true });
  };
  const choose = (id: string, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    setChosen(next);
  };
  const shown = runs.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Page title="Runs">
      <Bar label="Filters">
        <Select
          label="Flow"
          value={filter.flow ?? ''}
          choices={[
            { value: '', label: 'All' },
            ...flows.map(({ id, name }) => ({ value: id, label: name })),
          ]}
          onChange={(event) => change({ ...filter, flow: event.target.value || undefined })}
        />
        <Select
          label="Status"
          value={filter.status ?? ''}
          choices={[{ value: '', label: 'All' }, ...RUN_STATUSES.map((value) => ({ value, label: value }))]}
          onChange={(event) => change({ ...filter, status: event.target.value || undefined })}
        />
        <Select
          label="Started"
          value={filter.since ?? ''}
          choices={[{ value: '', label: 'Any time' }, ...SPANS]}
          onChange={(event) => change({ ...filter, since: event.target.value || undefined })}
        />
        {mayWrite && (
          <Many runs={shown.filter((run) => chosen.has(run.id))} onDone={() => setChosen(new Set())} />
        )}
      </Bar>
      <PagedTable
        label="Runs"
        query={runs}
        columns={columns(mayWrite ? { chosen, choose } : null)}
        keyOf={(run) => run.id}
        empty={
          <Empty icon={Activity} title="No runs">
            {filter.flow || filter.status || filter.since
              ? 'No run is like that.'
              : 'A run appears here when a flow is started: by hand, by a schedule or by a webhook.'}
          </Empty>
        }
      />
    </Page>
  );
}

/** What is done with all chosen runs that it fits. */
function Many({ runs, onDone }: { runs: readonly RunSummary[]; onDone: () => void }) {
  const queries = useQueryClient();
  const say = useSay();
  const [busy, setBusy] = useState(false);
  const live = runs.filter((run) => isLive(run.status));
  const failed = runs.filter((run) => run.status === 'failed');
  const each = async (what: string, which: readonly RunSummary[], act: (id: string) => Promise<void>) => {
    setBusy(true);
    const done = await Promise.allSettled(which.map((run) => act(run.id)));
    const refused = done.filter((one) => one.status === 'rejected').length;
    say(`${which.length - refused} ${what}${refused ? `, ${refused} refused` : ''}.`);
    setBusy(false);
    onDone();
    await queries.invalidateQueries({ queryKey: ['runs'] });
  };
  if (runs.length === 0) return null;
  return (
    <>
      <Button
        busy={busy}
        disabled={live.length === 0}
        onClick={() => each('cancelled', live, (id) => cancelRun(id))}
      >
        <Ban aria-hidden />
        Cancel {live.length || ''}
      </Button>
      <Button
        busy={busy}
        disabled={failed.length === 0}
        onClick={() => each('redriven', failed, (id) => redriveRun(id))}
      >
        <RotateCcw aria-hidden />
        Redrive {failed.length || ''}
      </Button>
    </>
  );
}

interface Choosing {
  chosen: ReadonlySet<string>;
  choose: (id: string, on: boolean) => void;
}

function columns(choosing: Choosing | null): Column<RunSummary>[] {
  const box: Column<RunSummary> = {
    name: 'Chosen',
    silent: true,
    cell: (run) => (
      <input
        type="checkbox"
        aria-label={`Choose run ${run.id}`}
        checked={choosing?.chosen.has(run.id) ?? false}
        onChange={(event) => choosing?.choose(run.id, event.target.checked)}
      />
    ),
  };
  return [
    ...(choosing ? [box] : []),
    { name: 'Run', cell: (run) => <RunLink run={run} /> },
    { name: 'Status', cell: (run) => <Status status={run.status} /> },
    { name: 'Where', cell: (run) => <Where run={run} /> },
    { name: 'Started', cell: (run) => <Ago at={run.started_at} /> },
    { name: 'Took', end: true, cell: (run) => (run.duration_ms === null ? '' : duration(run.duration_ms)) },
    { name: 'By', cell: (run) => <span className="muted">{run.started_by}</span> },
  ];
}

function RunLink({ run }: { run: RunSummary }) {
  return (
    <span className={styles.run}>
      <Link to="/runs/$runId" params={{ runId: run.id }} className={styles.flow}>
        {run.flow.name}
      </Link>
      <span className="muted mono">{run.id.slice(-12)}</span>
    </span>
  );
}

function Where({ run }: { run: RunSummary }) {
  if (run.error) {
    return (
      <span className={styles.error} title={run.error.message}>
        {run.error.node && <b>{run.error.node}: </b>}
        {run.error.message}
      </span>
    );
  }
  if (run.current_nodes.length > 0) return <span className="muted">{run.current_nodes.join(', ')}</span>;
  return null;
}
