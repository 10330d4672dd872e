import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { CalendarClock, Pause, Pencil, Play, Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { useFlowName } from '~/api/flowNames';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { exactly } from '~/lib/times';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Confirm } from '~/ui/Dialog';
import { Menu } from '~/ui/Menu';
import { Empty } from '~/ui/Notes';
import { Page } from '~/ui/Page';
import { Badge } from '~/ui/Status';
import { PagedTable, type Column } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { useSay } from '~/ui/Toasts';
import { ScheduleForm } from '~/views/schedules/ScheduleForm';

export type Schedule = Schemas['ScheduleModel'];

const schedulesQuery = listQuery(['schedules'], async (cursor, signal) =>
  data(
    await api.GET('/v1/schedules', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal }),
  ),
);

/** When flows start by themselves. */
export function SchedulesPage() {
  const schedules = useInfiniteQuery(schedulesQuery);
  const mayWrite = useMay('schedules:write');
  const nameOf = useFlowName();
  const [editing, setEditing] = useState<Schedule | 'new' | null>(null);
  const [removing, setRemoving] = useState<Schedule | null>(null);
  const say = useSay();
  const remove = useAction(['schedules'], (id: string) =>
    api.DELETE('/v1/schedules/{schedule_id}', { params: { path: { schedule_id: id } } }),
  );
  const enable = useAction(['schedules'], ({ schedule, enabled }: { schedule: Schedule; enabled: boolean }) =>
    api.PUT('/v1/schedules/{schedule_id}', {
      params: { path: { schedule_id: schedule.id } },
      body: {
        cron: schedule.cron,
        at: schedule.at,
        timezone: schedule.timezone,
        input: schedule.input as never,
        missed: schedule.missed,
        enabled,
      },
    }),
  );
  const actions = (schedule: Schedule) => {
    const own = schedule.source === 'api';
    return (
      <Menu
        label="Actions"
        items={[
          {
            label: schedule.enabled ? 'Pause' : 'Resume',
            icon: schedule.enabled ? Pause : Play,
            disabled: !mayWrite || !own,
            onSelect: () =>
              enable.mutate(
                { schedule, enabled: !schedule.enabled },
                { onError: (error) => say(error.message) },
              ),
          },
          {
            label: 'Change…',
            icon: Pencil,
            disabled: !mayWrite || !own,
            onSelect: () => setEditing(schedule),
          },
          {
            label: 'Delete…',
            icon: Trash2,
            danger: true,
            disabled: !mayWrite || !own,
            onSelect: () => setRemoving(schedule),
          },
        ]}
      />
    );
  };
  const add = mayWrite && (
    <Button look="primary" onClick={() => setEditing('new')}>
      <Plus aria-hidden />
      New schedule
    </Button>
  );
  return (
    <Page title="Schedules" subtitle="Those written in a flow are changed there." actions={add}>
      <PagedTable
        label="Schedules"
        query={schedules}
        keyOf={(schedule) => schedule.id}
        columns={columns(nameOf, actions)}
        empty={
          <Empty icon={CalendarClock} title="No schedules yet" action={add}>
            A flow can start every morning, or once at a given moment.
          </Empty>
        }
      />
      {editing !== null && (
        <ScheduleForm schedule={editing === 'new' ? null : editing} onClose={() => setEditing(null)} />
      )}
      <Confirm
        title="Delete the schedule?"
        text="Runs that it has started go on."
        action="Delete"
        open={removing !== null}
        onClose={() => setRemoving(null)}
        onConfirm={() => (removing ? remove.mutateAsync(removing.id) : Promise.resolve())}
      />
    </Page>
  );
}

function columns(nameOf: (id: string) => string, actions: Column<Schedule>['cell']): Column<Schedule>[] {
  return [
    {
      name: 'Flow',
      cell: ({ flow_id: flowId }) => (
        <Link to="/flows/$flowId" params={{ flowId }}>
          {nameOf(flowId)}
        </Link>
      ),
    },
    { name: 'When', cell: (schedule) => <When schedule={schedule} /> },
    { name: 'State', cell: (schedule) => <State schedule={schedule} /> },
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
      name: 'Made in',
      cell: ({ source }) => <span className="muted">{source === 'flow' ? 'the flow' : source}</span>,
    },
    { name: 'Actions', silent: true, end: true, cell: actions },
  ];
}

function When({ schedule }: { schedule: Schedule }) {
  if (schedule.cron === null) return schedule.at ? exactly(schedule.at) : null;
  return (
    <>
      <code>{schedule.cron}</code> <span className="muted">{schedule.timezone}</span>
    </>
  );
}

function State({ schedule }: { schedule: Schedule }) {
  if (schedule.last_error) {
    return (
      <span title={schedule.last_error.message}>
        <Badge tone="bad">last start failed</Badge>
      </span>
    );
  }
  if (!schedule.enabled) return <Badge>paused</Badge>;
  return schedule.active ? <Badge tone="good">active</Badge> : <Badge>flow not active</Badge>;
}
