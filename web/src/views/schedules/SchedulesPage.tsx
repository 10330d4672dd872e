import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { CalendarClock, Plus } from 'lucide-react';
import { useState } from 'react';

import { api, data } from '~/api/client';
import { useFlowName } from '~/api/flowNames';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { Button } from '~/ui/Button';
import { Empty } from '~/ui/Notes';
import { Bar, Page } from '~/ui/Page';
import { PagedTable, type Column } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { FlowSelect } from '~/views/flows/FlowSelect';
import { ScheduleActions } from '~/views/schedules/ScheduleActions';
import { ScheduleState, When } from '~/views/schedules/ScheduleDetails';
import { ScheduleForm, type Schedule } from '~/views/schedules/ScheduleForm';

const REFRESH_MS = 15_000;

function schedulesQuery(flow: string) {
  return listQuery(['schedules', flow], async (cursor, signal) => {
    const query = { limit: 100, ...(flow && { flow }), ...(cursor && { cursor }) };
    return data(await api.GET('/v1/schedules', { params: { query }, signal }));
  });
}

/** When flows start by themselves. */
export function SchedulesPage() {
  const [flow, setFlow] = useState('');
  const schedules = useInfiniteQuery({ ...schedulesQuery(flow), refetchInterval: REFRESH_MS });
  const mayWrite = useMay('schedules:write');
  const nameOf = useFlowName();
  const [making, setMaking] = useState(false);
  const add = mayWrite && (
    <Button look="primary" onClick={() => setMaking(true)}>
      <Plus aria-hidden />
      New schedule
    </Button>
  );
  return (
    <Page title="Schedules" subtitle="Those written in a flow are changed there." actions={add}>
      <Bar label="Filters">
        <FlowSelect label="Flow" none="All" value={flow} onFlow={setFlow} />
      </Bar>
      <PagedTable
        label="Schedules"
        query={schedules}
        keyOf={(schedule) => schedule.id}
        columns={columns(nameOf)}
        empty={
          flow ? (
            <Empty icon={CalendarClock} title="No schedules of this flow" />
          ) : (
            <Empty icon={CalendarClock} title="No schedules yet" action={add}>
              A flow can start every morning, or once at a given moment.
            </Empty>
          )
        }
      />
      {making && <ScheduleForm schedule={null} onClose={() => setMaking(false)} />}
    </Page>
  );
}

function columns(nameOf: (id: string) => string): Column<Schedule>[] {
  return [
    {
      name: 'Flow',
      cell: ({ flow_id: flowId }) => (
        <Link to="/flows/$flowId" params={{ flowId }} className="long">
          {nameOf(flowId)}
        </Link>
      ),
    },
    { name: 'When', cell: (schedule) => <When schedule={schedule} /> },
    { name: 'State', cell: (schedule) => <ScheduleState schedule={schedule} /> },
    {
      name: 'Next',
      cell: ({ next_times: [next] }) => (next ? <Ago at={next} /> : <span className="muted">never</span>),
    },
    {
      name: 'Last',
      cell: ({ last_time: time, last_run: run }) =>
        run ? (
          <Link to="/runs/$runId" params={{ runId: run }}>
            <Ago at={time} />
          </Link>
        ) : (
          <Ago at={time} />
        ),
    },
    {
      name: 'Made',
      cell: ({ source, created_by: by }) => (
        <span className="muted">{source === 'flow' ? 'in the flow' : `by ${by}`}</span>
      ),
    },
    {
      name: 'Actions',
      silent: true,
      end: true,
      cell: (schedule) => <ScheduleActions schedule={schedule} flow={nameOf(schedule.flow_id)} />,
    },
  ];
}
