import { Badge } from '~/ui/Status';
import { Ago } from '~/ui/Time';
import type { Webhook } from '~/views/webhooks/WebhookForm';

/** Whether a webhook works, and since when it does not. */
export function WebhookState({ webhook }: { webhook: Webhook }) {
  const { enabled, disabled_reason: reason, failing_since: since } = webhook;
  if (!enabled && reason === null) return <Badge>paused</Badge>;
  return (
    <div>
      {enabled ? (
        <Badge tone={since ? 'warn' : 'good'}>{since ? 'failing' : 'active'}</Badge>
      ) : (
        <Badge tone="bad">switched off</Badge>
      )}
      {!enabled && <div className="muted">{reason}</div>}
      {enabled && since && (
        <div className="muted">
          since <Ago at={since} />
        </div>
      )}
    </div>
  );
}
