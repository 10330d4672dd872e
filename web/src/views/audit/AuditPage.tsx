import { useInfiniteQuery } from '@tanstack/react-query';
import { ScrollText } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';
import { exactly } from '~/lib/times';
import { useDebounced } from '~/lib/useDebounced';
import { Dialog } from '~/ui/Dialog';
import { Select, TextField } from '~/ui/Field';
import { Json } from '~/ui/Json';
import { Empty } from '~/ui/Notes';
import { Bar, Page } from '~/ui/Page';
import { Properties } from '~/ui/Properties';
import { PagedTable } from '~/ui/Table';
import { TextButton } from '~/ui/TextButton';
import { VerifyChain } from '~/views/audit/VerifyChain';

type AuditRecord = Schemas['AuditRecord'];
type Order = 'newest' | 'oldest';

const ORDERS = [
  { value: 'newest', label: 'Newest first' },
  { value: 'oldest', label: 'Oldest first' },
];
/** What acts are about; each has some of its own, such as `token.created`. */
const SUBJECTS = [
  'login',
  'logout',
  'session',
  'token',
  'user',
  'role',
  'account',
  'secret',
  'secrets',
  'flow',
].concat(['run', 'module', 'plugin', 'hook', 'schedule', 'webhook', 'delivery']);

function auditQuery(who: string, action: string, order: Order) {
  return listQuery(['audit', who, action, order], async (cursor, signal) => {
    const query = {
      limit: 50,
      order,
      ...(who && { who }),
      ...(action && { action }),
      ...(cursor && { cursor }),
    };
    return data(await api.GET('/v1/audit', { params: { query }, signal }));
  });
}

/** Who did what that concerns security, chained so that no record can be changed unseen. */
export function AuditPage() {
  const [who, setWho] = useState('');
  const [action, setAction] = useState('');
  const [order, setOrder] = useState<Order>('newest');
  const [shown, setShown] = useState<AuditRecord | null>(null);
  const records = useInfiniteQuery(auditQuery(useDebounced(who.trim()), useDebounced(action.trim()), order));
  return (
    <Page title="Audit" subtitle="Every act that concerns security." actions={<VerifyChain />}>
      <Bar label="Filters">
        <TextField
          label="Who"
          placeholder="the whole name"
          autoComplete="off"
          value={who}
          onChange={(event) => setWho(event.target.value)}
        />
        <TextField
          label="Action"
          placeholder="token.created"
          list="subjects"
          autoComplete="off"
          value={action}
          onChange={(event) => setAction(event.target.value)}
        />
        <datalist id="subjects">
          {SUBJECTS.map((subject) => (
            <option key={subject} value={subject} />
          ))}
        </datalist>
        <Select
          label="Order"
          value={order}
          choices={ORDERS}
          onChange={(event) => setOrder(event.target.value === 'oldest' ? 'oldest' : 'newest')}
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
          { name: 'Who', cell: (record) => <span className="long">{record.who}</span> },
          {
            name: 'Action',
            cell: (record) => <TextButton onClick={() => setShown(record)}>{record.action}</TextButton>,
          },
          { name: 'What', cell: (record) => <Target record={record} /> },
          { name: 'From', cell: (record) => <span className="muted mono">{record.address}</span> },
        ]}
        empty={<Empty icon={ScrollText} title="No records are like that" />}
      />
      <Dialog
        title={shown ? `Record ${String(shown.seq)}` : ''}
        open={shown !== null}
        onClose={() => setShown(null)}
        wide
      >
        {shown && <Properties of={everything(shown)} />}
      </Dialog>
    </Page>
  );
}

function everything(record: AuditRecord) {
  return {
    When: `${exactly(record.at)} (${record.at})`,
    Who: record.who,
    User: record.user && <code>{record.user}</code>,
    Token: record.token && <code>{record.token}</code>,
    From: record.address && <code>{record.address}</code>,
    Action: <code>{record.action}</code>,
    What: record.target,
    Details: Object.keys(record.details).length > 0 && <Json value={record.details} />,
    'Correlation id': <code>{record.correlation_id}</code>,
    Hash: <code>{record.hash}</code>,
    'Hash before': <code>{record.prev}</code>,
  };
}

function Target({ record }: { record: AuditRecord }) {
  const details = Object.entries(record.details);
  return (
    <span className="long">
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
