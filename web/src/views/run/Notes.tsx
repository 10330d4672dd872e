import { Ban } from 'lucide-react';

import type { Run } from '~/api/runs';
import frame from '~/ui/Frame.module.css';
import { ErrorCode } from '~/ui/ErrorCode';
import { ErrorNote, PlainNote, WarnNote } from '~/ui/Notes';

interface Props {
  run: Run;
  /** The server cannot be reached, or gives no answer. */
  away: boolean;
  /** The flow of the run cannot be had. */
  undrawn: boolean;
}

/** What has to be said of a run as a whole. */
export function Notes({ run, away, undrawn }: Props) {
  return (
    <div className={frame.notes}>
      {run.error && <Ending error={run.error} />}
      {run.lost.length > 0 && (
        <WarnNote>
          <p>
            The store has lost what the run has kept as its {run.lost.join(' and its ')}.{' '}
            <ErrorCode code="VALUE_LOST" />
          </p>
        </WarnNote>
      )}
      {away && <WarnNote>The connection is lost. It is being made again; nothing is missed.</WarnNote>}
      {undrawn && <WarnNote>The flow of this run is gone, so its drawing is, too.</WarnNote>}
    </div>
  );
}

/** Why the run ended as it did; that somebody has cancelled it is no failure. */
function Ending({ error }: { error: NonNullable<Run['error']> }) {
  if (error.code === 'CANCELLED') {
    return <PlainNote icon={Ban}>Cancelled: {error.message}</PlainNote>;
  }
  return (
    <ErrorNote
      error={new Error(`${error.node ? `${error.node}: ` : ''}${error.message}`)}
      code={error.code}
    />
  );
}
