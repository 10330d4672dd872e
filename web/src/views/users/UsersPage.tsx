import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Plus, Users } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';
import { sessionQuery, useMay } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Confirm } from '~/ui/Dialog';
import { Menu } from '~/ui/Menu';
import { Empty } from '~/ui/Notes';
import { Page } from '~/ui/Page';
import { Badge } from '~/ui/Status';
import { PagedTable } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { useSay } from '~/ui/Toasts';
import { ChangePassword } from '~/views/users/ChangePassword';
import { NewUser } from '~/views/users/NewUser';
import { ROLES, type Role } from '~/views/users/roles';

type User = Schemas['UserAnswer'];

const usersQuery = listQuery(['users'], async (cursor, signal) =>
  data(await api.GET('/v1/users', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal })),
);

/** Who belongs to the account, and what each may do. */
export function UsersPage() {
  const users = useInfiniteQuery(usersQuery);
  const { data: identity } = useQuery(sessionQuery);
  const mayWrite = useMay('users:write');
  const say = useSay();
  const [making, setMaking] = useState(false);
  const [password, setPassword] = useState<User | null>(null);
  const [removing, setRemoving] = useState<User | null>(null);
  const change = useAction(['users'], ({ id, ...body }: { id: string; role?: Role; disabled?: boolean }) =>
    api.PATCH('/v1/users/{user_id}', { params: { path: { user_id: id } }, body }),
  );
  const remove = useAction(['users'], (id: string) =>
    api.DELETE('/v1/users/{user_id}', { params: { path: { user_id: id } } }),
  );
  const tell = (error: unknown) => say(error instanceof Error ? error.message : 'That did not work.');
  const actions = (user: User) => (
    <Menu
      label={`Actions for ${user.name}`}
      items={[
        {
          label: 'Change password…',
          disabled: !mayWrite && user.id !== identity?.user_id,
          onSelect: () => setPassword(user),
        },
        {
          label: user.disabled ? 'Let in again' : 'Lock out',
          disabled: !mayWrite || user.id === identity?.user_id,
          onSelect: () => change.mutate({ id: user.id, disabled: !user.disabled }, { onError: tell }),
        },
        null,
        {
          label: 'Delete…',
          danger: true,
          disabled: !mayWrite || user.id === identity?.user_id,
          onSelect: () => setRemoving(user),
        },
      ]}
    />
  );
  return (
    <Page
      title="Users"
      actions={
        mayWrite && (
          <Button look="primary" onClick={() => setMaking(true)}>
            <Plus aria-hidden />
            New user
          </Button>
        )
      }
    >
      <PagedTable
        label="Users"
        query={users}
        keyOf={(user) => user.id}
        columns={[
          {
            name: 'Name',
            cell: (user) => (
              <span>
                <b>{user.name}</b> {user.id === identity?.user_id && <span className="muted">(you)</span>}
              </span>
            ),
          },
          {
            name: 'Role',
            cell: (user) => (
              <select
                aria-label={`Role of ${user.name}`}
                value={user.role}
                disabled={!mayWrite || change.isPending}
                onChange={(event) =>
                  change.mutate({ id: user.id, role: event.target.value as Role }, { onError: tell })
                }
              >
                {ROLES.map(({ value, label }) => (
                  <option key={value} value={value} title={label}>
                    {value}
                  </option>
                ))}
              </select>
            ),
          },
          { name: 'Status', cell: (user) => (user.disabled ? <Badge tone="bad">locked out</Badge> : null) },
          { name: 'Since', cell: (user) => <Ago at={user.created_at} /> },
          { name: 'Actions', silent: true, end: true, cell: actions },
        ]}
        empty={<Empty icon={Users} title="No users" />}
      />
      <NewUser open={making} onClose={() => setMaking(false)} />
      {password && (
        <ChangePassword
          user={password}
          own={password.id === identity?.user_id}
          onClose={() => setPassword(null)}
        />
      )}
      <Confirm
        title={`Delete ${removing?.name ?? ''}?`}
        text="Their tokens and sessions end at once. Flows and runs stay."
        action="Delete"
        open={removing !== null}
        onClose={() => setRemoving(null)}
        onConfirm={() => (removing ? remove.mutateAsync(removing.id) : Promise.resolve())}
      />
    </Page>
  );
}
