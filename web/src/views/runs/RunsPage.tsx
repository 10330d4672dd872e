import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { Activity } from 'lucide-react';
import { useState } from 'react';

import { flowNamesQuery } from '~/api/flowNames';
import { RUN_STATUSES, runsQuery, SPANS, type RunSummary } from '~/api/runs';
import { useMay } from '~/api/session';
import { duration } from '~/lib/times';
import { Select } from '~/ui/Field';
import { Empty } from '~/ui/Notes';
import { Bar, Page } from '~/ui/Page';
import { Starter } from '~/ui/Starter';
import { Status } from '~/ui/Status';
import { PagedTable, type Column } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { ManyRuns } from '~/views/runs/ManyRuns';

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
  const choosing: Choosing = {
    chosen,
    choose,
    all: shown.length > 0 && shown.every((run) => chosen.has(run.id)),
    chooseAll: (on) => setChosen(new Set(on ? shown.map((run) => run.id) : [])),
  };
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
          <ManyRuns runs={shown.filter((run) => chosen.has(run.id))} onDone={() => setChosen(new Set())} />
        )}
      </Bar>
      <PagedTable
        label="Runs"
        query={runs}
        columns={columns(mayWrite ? choosing : null)}
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

interface Choosing {
  chosen: ReadonlySet<string>;
  choose: (id: string, on: boolean) => void;
  all: boolean;
  chooseAll: (on: boolean) => void;
}

function columns(choosing: Choosing | null): Column<RunSummary>[] {
  const box: Column<RunSummary> = {
    name: 'Chosen',
    silent: true,
    head: (
      <input
        type="checkbox"
        aria-label="Choose all runs"
        checked={choosing?.all ?? false}
        onChange={(event) => choosing?.chooseAll(event.target.checked)}
      />
    ),
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
    {
      name: 'By',
      cell: (run) => (
        <span className="muted">
          <Starter by={run.started_by} />
        </span>
      ),
    },
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
  if (run.error && run.status === 'cancelled') return <span className="muted">{run.error.message}</span>;
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
