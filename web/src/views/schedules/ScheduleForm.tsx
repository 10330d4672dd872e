import { useState } from 'react';

import { api, type Schemas } from '~/api/client';
import { fromLocal, toLocal } from '~/lib/times';
import { useAction } from '~/lib/useAction';
import { Dialog } from '~/ui/Dialog';
import { Select, TextArea, TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { FlowSelect } from '~/views/flows/FlowSelect';
import { readJson } from '~/views/flows/inputs';

export type Schedule = Schemas['ScheduleModel'];

const MISSED = [
  { value: 'skip', label: 'Leave out what was missed' },
  { value: 'run_once', label: 'Run once for what was missed' },
];
const OFTEN = [
  ['*/5 * * * *', 'every five minutes'],
  ['0 * * * *', 'every hour'],
  ['0 9 * * *', 'every day at nine'],
  ['0 9 * * MON-FRI', 'on working days at nine'],
  ['0 6 * * MON', 'on Mondays at six'],
  ['0 0 1 * *', 'on the first of each month'],
] as const;

const ZONES = Intl.supportedValuesOf('timeZone');
const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Makes a schedule, or changes one. */
export function ScheduleForm({ schedule, onClose }: { schedule: Schedule | null; onClose: () => void }) {
  const [flow, setFlow] = useState(schedule?.flow_id ?? '');
  const [kind, setKind] = useState(schedule?.at ? 'at' : 'cron');
  const [cron, setCron] = useState(schedule?.cron ?? '0 9 * * MON-FRI');
  const [at, setAt] = useState(schedule?.at ? toLocal(schedule.at) : '');
  const [timezone, setTimezone] = useState(schedule?.timezone ?? HERE);
  const [missed, setMissed] = useState<'skip' | 'run_once'>(schedule?.missed ?? 'skip');
  const [input, setInput] = useState(() => JSON.stringify(schedule?.input ?? {}, null, 2));
  const save = useAction(
    ['schedules'],
    async () => {
      const read = readJson(input, 'The input');
      if (!read.ok) throw new Error(read.problem);
      const body = {
        cron: kind === 'cron' ? cron : null,
        at: kind === 'at' ? fromLocal(at) : null,
        timezone: kind === 'cron' ? timezone : 'UTC',
        input: read.value as never,
        missed,
        enabled: schedule?.enabled ?? true,
      };
      if (schedule === null) await api.POST('/v1/schedules', { body: { ...body, flow_id: flow } });
      else {
        const path = { schedule_id: schedule.id };
        await api.PUT('/v1/schedules/{schedule_id}', { params: { path }, body });
      }
    },
    onClose,
  );
  return (
    <Dialog title={schedule ? 'Change the schedule' : 'New schedule'} open onClose={onClose}>
      <DialogForm action="Save" act={save} onCancel={onClose}>
        <FlowSelect
          label="Flow"
          none="Choose…"
          required
          disabled={schedule !== null}
          value={flow}
          onFlow={setFlow}
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
          <CronFields cron={cron} onCron={setCron} timezone={timezone} onTimezone={setTimezone} />
        ) : (
          <TextField
            label="Moment"
            type="datetime-local"
            step={1}
            hint={`As clocks show it here: ${HERE}.`}
            required
            value={at}
            onChange={(event) => setAt(event.target.value)}
          />
        )}
        <Select
          label="When nobody was there"
          value={missed}
          choices={MISSED}
          onChange={(event) => setMissed(event.target.value === 'skip' ? 'skip' : 'run_once')}
        />
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

interface CronProps {
  cron: string;
  onCron: (cron: string) => void;
  timezone: string;
  onTimezone: (timezone: string) => void;
}

function CronFields({ cron, onCron, timezone, onTimezone }: CronProps) {
  return (
    <>
      <TextField
        label="Cron"
        hint="Minute, hour, day of the month, month, day of the week."
        required
        list="often"
        autoComplete="off"
        spellCheck={false}
        value={cron}
        onChange={(event) => onCron(event.target.value)}
      />
      <datalist id="often">
        {OFTEN.map(([value, label]) => (
          <option key={value} value={value} label={label} />
        ))}
      </datalist>
      <TextField
        label="Time zone"
        required
        list="zones"
        autoComplete="off"
        spellCheck={false}
        value={timezone}
        onChange={(event) => onTimezone(event.target.value)}
      />
      <datalist id="zones">
        {ZONES.map((zone) => (
          <option key={zone} value={zone} />
        ))}
      </datalist>
    </>
  );
}
