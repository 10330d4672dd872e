import { useInfiniteQuery, useMutation } from '@tanstack/react-query';
import { ScrollText, ShieldCheck } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';
import { exactly } from '~/lib/times';
import { useDebounced } from '~/lib/useDebounced';
import { Button } from '~/ui/Button';
import { TextField } from '~/ui/Field';
import { Empty, ErrorNote } from '~/ui/Notes';
import { Bar, Page } from '~/ui/Page';
import { Badge } from '~/ui/Status';
import { PagedTable } from '~/ui/Table';

type AuditRecord = Schemas['AuditRecord'];

function auditQuery(who: string, action: string) {
  return listQuery(['audit', who, action], async (cursor, signal) =>
    data(
      await api.GET('/v1/audit', {
        params: {
          query: { limit: 50, ...(who && { who }), ...(action && { action }), ...(cursor && { cursor }) },
        },
        signal,
      }),
    ),
  );
}

/** Who did what that concerns security, chained so that no record can be changed unseen. */
export function AuditPage() {
  const [who, setWho] = useState('');
  const [action, setAction] = useState('');
  const records = useInfiniteQuery(auditQuery(useDebounced(who), useDebounced(action)));
  return (
    <Page title="Audit" subtitle="Every act that concerns security, the newest first." actions={<Verify />}>
      <Bar label="Filters">
        <TextField label="Who" value={who} onChange={(event) => setWho(event.target.value)} />
        <TextField
          label="Action"
          placeholder="token.create"
          value={action}
          onChange={(event) => setAction(event.target.value)}
        />
      </Bar>
      <PagedTable
        label="Audit records"
        query={records}
        keyOf={(record) => String(record.seq)}
        columns={[
          { name: 'No.', end: true, cell: (record) => record.seq },
          {
            name: 'When',
            cell: (record) => (
              <time className="nowrap" dateTime={record.at}>
                {exactly(record.at)}
              </time>
            ),
          },
          { name: 'Who', cell: (record) => record.who },
          { name: 'Action', cell: (record) => <code>{record.action}</code> },
          { name: 'What', cell: (record) => <Target record={record} /> },
          { name: 'From', cell: (record) => <span className="muted mono">{record.address}</span> },
        ]}
        empty={<Empty icon={ScrollText} title="No records are like that" />}
      />
    </Page>
  );
}

function Target({ record }: { record: AuditRecord }) {
  const details = Object.entries(record.details);
  return (
    <span>
      {record.target}
      {details.length > 0 && (
        <span className="muted">
          {' '}
          {details.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(' ')}
        </span>
      )}
    </span>
  );
}

function Verify() {
  const verify = useMutation({ mutationFn: async () => data(await api.GET('/v1/audit/verify')) });
  const found = verify.data;
  return (
    <>
      {verify.isError && <ErrorNote error={verify.error} />}
      {found &&
        (found.ok ? (
          <Badge tone="good">{`All ${found.records.toLocaleString('en')} records are whole`}</Badge>
        ) : (
          <Badge tone="bad">{`Record ${found.first_bad ?? '?'}: ${found.reason}`}</Badge>
        ))}
      <Button busy={verify.isPending} onClick={() => verify.mutate()}>
        <ShieldCheck aria-hidden />
        Verify the chain
      </Button>
    </>
  );
}
