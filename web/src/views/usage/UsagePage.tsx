import { useQuery } from '@tanstack/react-query';
import { ChartColumn } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { duration } from '~/lib/times';
import { Select } from '~/ui/Field';
import { Empty, ErrorNote, Skeleton } from '~/ui/Notes';
import { Bar, Card, Page } from '~/ui/Page';
import { Table } from '~/ui/Table';
import { Bars } from '~/views/usage/Bars';

import styles from './UsagePage.module.css';

type Counts = Schemas['UsageCounts'];

const DAY_MS = 86_400_000;
const SPANS = [
  { value: '7', label: '7 days' },
  { value: '30', label: '30 days' },
  { value: '90', label: '90 days' },
];

const MEASURES = {
  steps: {
    label: 'Steps',
    of: (one: Counts) => one.steps,
    text: (value: number) => value.toLocaleString('en'),
  },
  runs: { label: 'Runs', of: (one: Counts) => one.runs, text: (value: number) => value.toLocaleString('en') },
  cost: { label: 'Estimated cost', of: (one: Counts) => one.estimated_cost_usd, text: dollars },
} as const;

type Measure = keyof typeof MEASURES;

function dollars(value: number): string {
  return `$${value.toFixed(value !== 0 && value < 0.01 ? 5 : 2)}`;
}

/** The last days, also those on which nothing ran. */
function lastDays(count: number): string[] {
  const today = Date.now();
  return Array.from({ length: count }, (_, index) =>
    new Date(today - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10),
  );
}

/** How much ran, and what it would cost on AWS. */
export function UsagePage() {
  const [span, setSpan] = useState('30');
  const [measure, setMeasure] = useState<Measure>('steps');
  const days = lastDays(Number(span));
  const usage = useQuery({
    queryKey: ['usage', span],
    queryFn: async ({ signal }) =>
      data(await api.GET('/v1/usage', { params: { query: { from: days[0] ?? '', by: 'both' } }, signal })),
  });
  return (
    <Page
      title="Usage"
      subtitle="Days are in UTC. The cost is what the steps would cost on AWS; your own server is not in it."
    >
      <Bar label="Filters">
        <Select label="Span" value={span} choices={SPANS} onChange={(event) => setSpan(event.target.value)} />
        <Select
          label="Shown"
          value={measure}
          choices={Object.entries(MEASURES).map(([value, { label }]) => ({ value, label }))}
          onChange={(event) => setMeasure(event.target.value as Measure)}
        />
      </Bar>
      {usage.isPending && <Skeleton />}
      {usage.isError && <ErrorNote error={usage.error} onRetry={() => void usage.refetch()} />}
      {usage.data && <Shown usage={usage.data} days={days} measure={MEASURES[measure]} />}
    </Page>
  );
}

interface ShownProps {
  usage: Schemas['UsageAnswer'];
  days: readonly string[];
  measure: (typeof MEASURES)[Measure];
}

function Shown({ usage, days, measure }: ShownProps) {
  if (usage.items.length === 0) {
    return (
      <Card>
        <Empty icon={ChartColumn} title="Nothing ran in this time">
          A longer span may show more.
        </Empty>
      </Card>
    );
  }
  const perDay = days.map((day) => ({
    day,
    value: usage.items.filter((item) => item.day === day).reduce((sum, item) => sum + measure.of(item), 0),
  }));
  const flows = [...Map.groupBy(usage.items, (item) => item.flow_name ?? item.flow_id ?? '')].map(
    ([name, items]) => ({
      name,
      runs: sum(items, (item) => item.runs),
      steps: sum(items, (item) => item.steps),
      compute: sum(items, (item) => item.compute_ms),
      cost: sum(items, (item) => item.estimated_cost_usd),
    }),
  );
  flows.sort((one, other) => other.cost - one.cost);
  const { total } = usage;
  return (
    <>
      <dl className={styles.totals}>
        <Total name="Runs" value={total.runs.toLocaleString('en')} />
        <Total name="Steps" value={total.steps.toLocaleString('en')} />
        <Total name="Time in steps" value={duration(total.compute_ms)} />
        <Total name="Estimated cost" value={dollars(total.estimated_cost_usd)} />
      </dl>
      <Card>
        <Bars label={`${measure.label} by day`} bars={perDay} text={measure.text} />
      </Card>
      <Table
        label="Usage by flow"
        rows={flows}
        keyOf={(flow) => flow.name}
        columns={[
          { name: 'Flow', cell: (flow) => <b>{flow.name}</b> },
          { name: 'Runs', end: true, cell: (flow) => flow.runs.toLocaleString('en') },
          { name: 'Steps', end: true, cell: (flow) => flow.steps.toLocaleString('en') },
          { name: 'Time in steps', end: true, cell: (flow) => duration(flow.compute) },
          { name: 'Estimated cost', end: true, cell: (flow) => dollars(flow.cost) },
        ]}
      />
    </>
  );
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((all, item) => all + of(item), 0);
}

function Total({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt className="muted">{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
