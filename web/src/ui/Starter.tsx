import { Link } from '@tanstack/react-router';

/** Who or what started a run: a person, or the run, the schedule or the webhook that did it. */
export function Starter({ by }: { by: string }) {
  const [kind, id = ''] = by.split(/:(.*)/s);
  if (kind === 'run') {
    return (
      <Link to="/runs/$runId" params={{ runId: id }} title={id} className="nowrap">
        run <span className="mono">{id.slice(-6)}</span>
      </Link>
    );
  }
  if (kind === 'schedule') return <Link to="/schedules">a schedule</Link>;
  if (kind === 'hook') return <Link to="/webhooks">hook {id}</Link>;
  if (kind === 'token') return <>token {id}</>;
  return <>{by}</>;
}
