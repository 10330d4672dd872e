import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { Plus, Workflow } from 'lucide-react';
import { useEffect, useState } from 'react';

import { FLOW_STATUSES, flowsQuery, type FlowSummary } from '~/api/flows';
import { useMay } from '~/api/session';
import { useDebounced } from '~/lib/useDebounced';
import { Button } from '~/ui/Button';
import { Select, TextField } from '~/ui/Field';
import { Empty } from '~/ui/Notes';
import { Bar, Page } from '~/ui/Page';
import { Status } from '~/ui/Status';
import { PagedTable, type Column } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { FlowActions } from '~/views/flows/FlowActions';
import { FlowName } from '~/views/flows/FlowName';
import { NewFlow } from '~/views/flows/NewFlow';

import styles from './FlowsPage.module.css';

const route = getRouteApi('/flows');
/** So many labels of a flow are shown at once. */
const FEW = 3;

/** All flows of the account. */
export function FlowsPage() {
  const filter = route.useSearch();
  const navigate = route.useNavigate();
  const [making, setMaking] = useState(false);
  const mayWrite = useMay('flows:write');
  const flows = useInfiniteQuery(flowsQuery(filter));
  const filtered = Boolean(filter.q ?? filter.status ?? filter.label);
  const make = mayWrite && (
    <Button look="primary" onClick={() => setMaking(true)}>
      <Plus aria-hidden />
      New flow
    </Button>
  );
  const change = (next: typeof filter) =>
    void navigate({ search: (before) => ({ ...before, ...next }), replace: true });
  return (
    <Page title="Flows" actions={make}>
      <Bar label="Filters">
        <Search text={filter.q} onChange={(q) => change({ ...filter, q })} />
        <Select
          label="Status"
          value={filter.status ?? ''}
          choices={[{ value: '', label: 'All' }, ...FLOW_STATUSES.map((value) => ({ value, label: value }))]}
          onChange={(event) => change({ ...filter, status: event.target.value || undefined })}
        />
        {filter.label && (
          <Button onClick={() => change({ ...filter, label: undefined })}>
            Without label {filter.label}
          </Button>
        )}
      </Bar>
      <PagedTable
        label="Flows"
        query={flows}
        columns={columns((label) => change({ ...filter, label }))}
        keyOf={(flow) => flow.id}
        empty={
          filtered ? (
            <Empty icon={Workflow} title="No flow is like that">
              Change the filters to see others.
            </Empty>
          ) : (
            <Empty icon={Workflow} title="No flows yet" action={make}>
              A flow says in YAML what happens, step by step. Begin with a template, or import a file.
            </Empty>
          )
        }
      />
      <NewFlow open={making} onClose={() => setMaking(false)} />
    </Page>
  );
}

function Search({
  text,
  onChange,
}: {
  text: string | undefined;
  onChange: (text: string | undefined) => void;
}) {
  const [typed, setTyped] = useState(text ?? '');
  const settled = useDebounced(typed);
  useEffect(() => {
    if (settled !== (text ?? '')) onChange(settled || undefined);
    // Only what was typed is told; what the address says was told by it.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [settled]);
  return (
    <div className={styles.search}>
      <TextField
        label="Search"
        type="search"
        placeholder="Name or description"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
      />
    </div>
  );
}

function columns(onLabel: (label: string) => void): Column<FlowSummary>[] {
  return [
    { name: 'Flow', cell: (flow) => <FlowName flow={flow} /> },
    { name: 'Status', cell: (flow) => <Status status={flow.status} /> },
    { name: 'Labels', cell: (flow) => <Labels labels={flow.labels} onLabel={onLabel} /> },
    { name: 'Revision', end: true, cell: (flow) => flow.revision },
    { name: 'Changed', cell: (flow) => <Ago at={flow.updated_at} /> },
    { name: 'By', cell: (flow) => <span className="muted">{flow.updated_by}</span> },
    { name: 'Actions', silent: true, end: true, cell: (flow) => <FlowActions flow={flow} /> },
  ];
}

function Labels({ labels, onLabel }: { labels: Record<string, string>; onLabel: (label: string) => void }) {
  const [whole, setWhole] = useState(false);
  const all = Object.entries(labels);
  if (all.length === 0) return null;
  const more = all.length - FEW;
  return (
    <span className={styles.labels}>
      {all.slice(0, whole || more === 1 ? all.length : FEW).map(([key, value]) => (
        <button
          key={key}
          type="button"
          className={`${styles.label ?? ''} truncate`}
          title={`Only flows with ${key}=${value}`}
          onClick={() => onLabel(`${key}=${value}`)}
        >
          {key}: {value}
        </button>
      ))}
      {more > 1 && !whole && (
        <button type="button" className={styles.label} onClick={() => setWhole(true)}>
          {more} more
        </button>
      )}
    </span>
  );
}
