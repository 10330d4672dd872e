import { useNavigate } from '@tanstack/react-router';
import { Info, Pause, Pencil, Play, Trash2, Zap } from 'lucide-react';
import { useState } from 'react';

import { api } from '~/api/client';
import { startRun } from '~/api/runs';
import { useMay } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { Confirm, Dialog } from '~/ui/Dialog';
import { Menu } from '~/ui/Menu';
import { useSay } from '~/ui/Toasts';
import { ScheduleDetails } from '~/views/schedules/ScheduleDetails';
import { ScheduleForm, type Schedule } from '~/views/schedules/ScheduleForm';

const IN_FLOW = 'It stands in its flow: do it there.';

/** What can be done with a schedule, for who may. */
export function ScheduleActions({ schedule, flow }: { schedule: Schedule; flow: string }) {
  const say = useSay();
  const navigate = useNavigate();
  const mayWrite = useMay('schedules:write');
  const mayRun = useMay('runs:write');
  const [asking, setAsking] = useState<'details' | 'change' | 'delete' | null>(null);
  const close = () => setAsking(null);
  const path = { schedule_id: schedule.id };
  const enable = useAction(['schedules'], (enabled: boolean) => {
    const { cron, at, timezone, missed } = schedule;
    const body = { cron, at, timezone, input: schedule.input as never, missed, enabled };
    return api.PUT('/v1/schedules/{schedule_id}', { params: { path }, body });
  });
  const remove = useAction(['schedules'], () =>
    api.DELETE('/v1/schedules/{schedule_id}', { params: { path } }),
  );
  const run = useAction(
    ['runs'],
    () => startRun(schedule.flow_id, schedule.input ?? {}),
    (started) => void navigate({ to: '/runs/$runId', params: { runId: started.id } }),
  );
  const failed = { onError: (error: Error) => say(error.message) };
  const inFlow = schedule.source === 'flow' && IN_FLOW;
  return (
    <>
      <Menu
        label={`Actions for the schedule of ${flow}`}
        items={[
          { label: 'Details…', icon: Info, onSelect: () => setAsking('details') },
          ...(mayRun ? [{ label: 'Run now', icon: Zap, onSelect: () => run.mutate(undefined, failed) }] : []),
          ...(mayWrite
            ? [
                {
                  label: schedule.enabled ? 'Pause' : 'Resume',
                  icon: schedule.enabled ? Pause : Play,
                  onSelect: () => enable.mutate(!schedule.enabled, failed),
                },
                { label: 'Change…', icon: Pencil, reason: inFlow, onSelect: () => setAsking('change') },
                null,
                {
                  label: 'Delete…',
                  icon: Trash2,
                  danger: true,
                  reason: inFlow,
                  onSelect: () => setAsking('delete'),
                },
              ]
            : []),
        ]}
      />
      <Dialog title={`Schedule of ${flow}`} open={asking === 'details'} onClose={close}>
        <ScheduleDetails schedule={schedule} />
      </Dialog>
      {asking === 'change' && <ScheduleForm schedule={schedule} onClose={close} />}
      <Confirm
        title="Delete the schedule?"
        text="Runs that it has started go on."
        action="Delete"
        open={asking === 'delete'}
        onClose={close}
        onConfirm={() => remove.mutateAsync()}
      />
    </>
  );
}
