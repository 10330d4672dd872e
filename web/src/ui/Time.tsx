import { useEffect, useState } from 'react';

import { ago, exactly } from '~/lib/times';

/** How long ago something was, kept up to date; the exact moment when one points at it. */
export function Ago({ at }: { at: string | null | undefined }) {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    const timer = setInterval(() => setNow(new Date()), 10_000);
    return () => clearInterval(timer);
  }, []);
  if (!at) return <span className="muted">never</span>;
  // What was made since the last tick is not in the future.
  const shown = new Date(at) > now && new Date(at).getTime() - now.getTime() < 15_000 ? new Date(at) : now;
  return (
    <time dateTime={at} title={exactly(at)} className="nowrap">
      {ago(at, shown)}
    </time>
  );
}
