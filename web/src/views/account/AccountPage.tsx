import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { sessionQuery, useMay } from '~/api/session';
import { exactly } from '~/lib/times';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Dialog } from '~/ui/Dialog';
import { TextField } from '~/ui/Field';
import { DialogForm } from '~/ui/Form';
import { ErrorNote, Skeleton } from '~/ui/Notes';
import { Card, Page } from '~/ui/Page';
import { Properties } from '~/ui/Properties';
import { WithCopy } from '~/ui/WithCopy';
import { DeleteAccount } from '~/views/account/DeleteAccount';
import { Sessions } from '~/views/account/Sessions';
import { ChangePassword } from '~/views/users/ChangePassword';

type Account = Schemas['AccountAnswer'];

/** The account, and one's own password and sessions. */
export function AccountPage() {
  const { data: identity } = useQuery(sessionQuery);
  const mayWrite = useMay('account:write');
  const [asking, setAsking] = useState<'name' | 'password' | 'delete' | null>(null);
  const close = () => setAsking(null);
  const account = useQuery({
    queryKey: ['account'],
    queryFn: async ({ signal }) => data(await api.GET('/v1/account', { signal })),
  });
  const me = identity?.user_id ? { id: identity.user_id, name: identity.name } : null;
  return (
    <Page
      title="Account"
      actions={
        <>
          {me && <Button onClick={() => setAsking('password')}>Change your password…</Button>}
          {mayWrite && account.data && (
            <>
              <Button onClick={() => setAsking('name')}>Rename…</Button>
              <Button look="danger" onClick={() => setAsking('delete')}>
                Delete…
              </Button>
            </>
          )}
        </>
      }
    >
      {account.isPending && <Skeleton lines={3} />}
      {account.isError && <ErrorNote error={account.error} onRetry={() => void account.refetch()} />}
      {account.data && (
        <Card>
          <Properties of={shown(account.data, identity?.name ?? '')} />
        </Card>
      )}
      <h2>Your sessions</h2>
      <Sessions />
      {asking === 'name' && account.data && <Rename account={account.data} onClose={close} />}
      {asking === 'password' && me && <ChangePassword user={me} own onClose={close} />}
      {asking === 'delete' && account.data && <DeleteAccount name={account.data.name} onClose={close} />}
    </Page>
  );
}

function shown(account: Account, you: string) {
  return {
    Name: <b>{account.name}</b>,
    Id: (
      <WithCopy text={account.id} label="Copy the account's id">
        <code>{account.id}</code>
      </WithCopy>
    ),
    Made: account.created_at && exactly(account.created_at),
    'Logged in as': you,
  };
}

function Rename({ account, onClose }: { account: Account; onClose: () => void }) {
  const [name, setName] = useState(account.name);
  const rename = useAction(['account'], () => api.PATCH('/v1/account', { body: { name } }), onClose);
  return (
    <Dialog title="Rename the account" open onClose={onClose}>
      <DialogForm action="Rename" act={rename} onCancel={onClose}>
        <TextField
          label="Name"
          required
          maxLength={100}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
      </DialogForm>
    </Dialog>
  );
}
