import { Link } from '@tanstack/react-router';
import { Compass } from 'lucide-react';

import { ApiError } from '~/api/client';
import { buttonClass } from '~/ui/Button';
import { Empty, ErrorNote } from '~/ui/Notes';

interface Props {
  error: unknown;
  /** What was looked for, and the list of all of them. */
  what: string;
  list: '/flows' | '/runs';
  onRetry: () => void;
}

/** In the place of a thing that did not come: it is not there, or something went wrong. */
export function NotLoaded({ error, what, list, onRetry }: Props) {
  if (!(error instanceof ApiError) || error.status !== 404)
    return <ErrorNote error={error} onRetry={onRetry} />;
  return (
    <Empty
      icon={Compass}
      title={`There is no such ${what}`}
      action={
        <Link to={list} className={buttonClass()}>
          All {list.slice(1)}
        </Link>
      }
    >
      It was deleted, the address is wrong, or it belongs to another account.
    </Empty>
  );
}
