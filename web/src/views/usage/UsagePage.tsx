import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { ChartColumn } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { duration } from '~/lib/times';
import { Select } from '~/ui/Field';
import { Empty, ErrorNote, Skeleton } from '~/ui/Notes';
import { Bar, Card, Page } from '~/ui/Page';
import { Table } from '~/ui/Table';
import { FlowSelect } from '~/views/flows/FlowSelect';
import { Bars } from '~/views/usage/Bars';
import { barsOf, lastDays } from '~/views/usage/days';

import styles from './UsagePage.module.css';

type Counts = Schemas['UsageCounts'];
type Usage = Schemas['UsageAnswer'];

const SPANS = [
  { value: '7', label: '7 days' },
  { value: '30', label: '30 days' },
  { value: '90', label: '90 days' },
  { value: '365', label: 'A year' },
];

const MEASURES = [
  { label: 'Runs', of: (one: Counts) => one.runs, text: count },
  { label: 'Steps', of: (one: Counts) => one.steps, text: count },
  { label: 'Estimated cost', of: (one: Counts) => one.estimated_cost_usd, text: dollars },
] as const;

function count(value: number): string {
  return value.toLocaleString('en');
}

function dollars(value: number): string {
  return `$${value.toFixed(value !== 0 && value < 0.01 ? 5 : 2)}`;
}

/** Two reports, and the days that they are of. */
function useUsage(span: string, flow: string) {
  return useQuery({
    queryKey: ['usage', span, flow],
    queryFn: async ({ signal }) => {
      const days = lastDays(Number(span), Date.now());
      const of = { from: days[0] ?? '', to: days.at(-1) ?? '', ...(flow && { flow }) };
      const ask = async (by: 'day' | 'flow') =>
        data(await api.GET('/v1/usage', { params: { query: { ...of, by } }, signal }));
      const [byDay, byFlow] = await Promise.all([ask('day'), ask('flow')]);
      return { days, byDay, byFlow };
    },
  });
}

/** How much ran, and what it would cost on AWS. */
export function UsagePage() {
  const [span, setSpan] = useState('30');
  const [flow, setFlow] = useState('');
  const usage = useUsage(span, flow);
  return (
    <Page
      title="Usage"
      subtitle="Days are in UTC. The cost is what the steps would cost on AWS; your own server is not in it."
    >
      <Bar label="Filters">
        <Select label="Span" value={span} choices={SPANS} onChange={(event) => setSpan(event.target.value)} />
        <FlowSelect label="Flow" none="All" value={flow} onFlow={setFlow} />
      </Bar>
      {usage.isPending && <Skeleton />}
      {usage.isError && <ErrorNote error={usage.error} onRetry={() => void usage.refetch()} />}
      {usage.data && <Shown {...usage.data} />}
    </Page>
  );
}

function Shown({ byDay, byFlow, days }: { byDay: Usage; byFlow: Usage; days: readonly string[] }) {
  if (byDay.items.length === 0) {
    return (
      <Card>
        <Empty icon={ChartColumn} title="Nothing ran in this time">
          A longer span may show more.
        </Empty>
      </Card>
    );
  }
  const { total } = byDay;
  return (
    <>
      <dl className={styles.totals}>
        <Total name="Runs" value={count(total.runs)} />
        <Total name="Steps" value={count(total.steps)} />
        <Total name="Time in steps" value={duration(total.compute_ms)} />
        <Total name="Estimated cost" value={dollars(total.estimated_cost_usd)} />
      </dl>
      <div className={styles.charts}>
        {MEASURES.map(({ label, of, text }) => (
          <Card key={label}>
            <Bars
              label={`${label} by ${days.length > 92 ? 'week' : 'day'}`}
              bars={barsOf(days, new Map(byDay.items.map((item) => [item.day ?? '', of(item)])))}
              text={text}
            />
          </Card>
        ))}
      </div>
      <PerFlow items={byFlow.items} />
    </>
  );
}

function PerFlow({ items }: { items: Usage['items'] }) {
  return (
    <Table
      label="Usage by flow"
      rows={items.toSorted((one, other) => other.estimated_cost_usd - one.estimated_cost_usd)}
      keyOf={(item) => item.flow_id ?? ''}
      columns={[
        { name: 'Flow', cell: (item) => <FlowLink id={item.flow_id} name={item.flow_name} /> },
        { name: 'Runs', end: true, cell: (item) => count(item.runs) },
        { name: 'Steps', end: true, cell: (item) => count(item.steps) },
        { name: 'Time in steps', end: true, cell: (item) => duration(item.compute_ms) },
        { name: 'Estimated cost', end: true, cell: (item) => dollars(item.estimated_cost_usd) },
      ]}
    />
  );
}

/** A flow by its name; one that was deleted by its id. */
function FlowLink({ id, name }: { id: string | null; name: string | null }) {
  if (id === null || name === null)
    return (
      <span className="muted">
        deleted: <code>{id}</code>
      </span>
    );
  return (
    <Link to="/flows/$flowId" params={{ flowId: id }} className="long">
      {name}
    </Link>
  );
}

function Total({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt className="muted">{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
