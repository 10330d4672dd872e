import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { api } from '~/api/client';
import { flowNamesQuery } from '~/api/flowNames';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { Select, TextArea, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import type { Schedule } from '~/views/schedules/SchedulesPage';

const MISSED = [
  { value: 'skip', label: 'Leave out what was missed' },
  { value: 'run_once', label: 'Run once for what was missed' },
];

/** Makes a schedule, or changes one. */
export function ScheduleForm({ schedule, onClose }: { schedule: Schedule | null; onClose: () => void }) {
  const { data: flows = [] } = useQuery(flowNamesQuery);
  const [flow, setFlow] = useState(schedule?.flow_id ?? '');
  const [kind, setKind] = useState(schedule?.at ? 'at' : 'cron');
  const [cron, setCron] = useState(schedule?.cron ?? '0 9 * * MON-FRI');
  const [at, setAt] = useState(schedule?.at ?? '');
  const [timezone, setTimezone] = useState(
    schedule?.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
  );
  const [missed, setMissed] = useState<string>(schedule?.missed ?? 'skip');
  const [input, setInput] = useState(() => JSON.stringify(schedule?.input ?? {}, null, 2));
  const save = useAction(
    ['schedules'],
    async () => {
      const body = {
        cron: kind === 'cron' ? cron : null,
        at: kind === 'at' ? at : null,
        timezone: kind === 'cron' ? timezone : 'UTC',
        input: JSON.parse(input || '{}') as never,
        missed: missed as 'skip' | 'run_once',
        enabled: schedule?.enabled ?? true,
      };
      if (schedule === null) await api.POST('/v1/schedules', { body: { ...body, flow_id: flow } });
      else
        await api.PUT('/v1/schedules/{schedule_id}', {
          params: { path: { schedule_id: schedule.id } },
          body,
        });
    },
    onClose,
  );
  return (
    <Dialog title={schedule ? 'Change the schedule' : 'New schedule'} open onClose={onClose}>
      <DialogForm
        action="Save"
        busy={save.isPending}
        error={save.error}
        onSubmit={() => save.mutate()}
        onCancel={onClose}
      >
        <Select
          label="Flow"
          required
          disabled={schedule !== null}
          value={flow}
          choices={[
            { value: '', label: 'Choose…' },
            ...flows.map(({ id, name }) => ({ value: id, label: name })),
          ]}
          onChange={(event) => setFlow(event.target.value)}
        />
        <Select
          label="When"
          value={kind}
          choices={[
            { value: 'cron', label: 'Again and again (cron)' },
            { value: 'at', label: 'Once' },
          ]}
          onChange={(event) => setKind(event.target.value)}
        />
        {kind === 'cron' ? (
          <>
            <TextField
              label="Cron"
              hint="Minute, hour, day of the month, month, day of the week."
              required
              className="mono"
              value={cron}
              onChange={(event) => setCron(event.target.value)}
            />
            <TextField
              label="Time zone"
              required
              value={timezone}
              onChange={(event) => setTimezone(event.target.value)}
            />
            <Select
              label="When nobody was there"
              value={missed}
              choices={MISSED}
              onChange={(event) => setMissed(event.target.value)}
            />
          </>
        ) : (
          <TextField
            label="Moment"
            hint="With its time zone: 2030-01-31T09:00:00Z"
            required
            value={at}
            onChange={(event) => setAt(event.target.value)}
          />
        )}
        <TextArea
          label="Input"
          hint="JSON that fits the flow's inputs."
          spellCheck={false}
          value={input}
          onChange={(event) => setInput(event.target.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
