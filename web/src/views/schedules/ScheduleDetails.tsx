import { Link } from '@tanstack/react-router';

import { exactly } from '~/lib/times';
import { Json } from '~/ui/Json';
import { Properties } from '~/ui/Properties';
import { Badge } from '~/ui/Status';
import { Ago } from '~/ui/Time';
import type { Schedule } from '~/views/schedules/ScheduleForm';

/** All that is known of a schedule. */
export function ScheduleDetails({ schedule }: { schedule: Schedule }) {
  const { last_error: error, last_run: run, last_time: last, last_missed: missed } = schedule;
  return (
    <Properties
      of={{
        State: <ScheduleState schedule={schedule} />,
        When: <When schedule={schedule} />,
        Next: schedule.next_times.length > 0 && (
          <ol aria-label="Next times">
            {schedule.next_times.map((time) => (
              <li key={time}>{exactly(time)}</li>
            ))}
          </ol>
        ),
        Last: last && (
          <>
            {exactly(last)}{' '}
            {run && (
              <Link to="/runs/$runId" params={{ runId: run }}>
                its run
              </Link>
            )}
          </>
        ),
        'Last missed': missed && exactly(missed),
        'Last refused': error && `${exactly(error.at)}: ${error.message}`,
        'What is missed': schedule.missed === 'skip' ? 'is left out' : 'runs once',
        Input: <Json value={schedule.input} />,
        Made: (
          <>
            {schedule.created_at && <Ago at={schedule.created_at} />}{' '}
            {schedule.source === 'flow' ? 'in the flow' : `by ${schedule.created_by}`}
          </>
        ),
      }}
    />
  );
}

export function When({ schedule }: { schedule: Schedule }) {
  if (schedule.cron === null) return schedule.at ? exactly(schedule.at) : null;
  return (
    <span>
      <code>{schedule.cron}</code> <span className="muted">{schedule.timezone}</span>
    </span>
  );
}

export function ScheduleState({ schedule }: { schedule: Schedule }) {
  if (schedule.last_error && schedule.enabled) {
    return (
      <div>
        <Badge tone="bad">last start failed</Badge>
        <div className="muted">{schedule.last_error.message}</div>
      </div>
    );
  }
  if (!schedule.enabled) return <Badge>paused</Badge>;
  if (!schedule.active) return <Badge>flow not active</Badge>;
  return schedule.next_times.length > 0 ? <Badge tone="good">active</Badge> : <Badge>over</Badge>;
}
