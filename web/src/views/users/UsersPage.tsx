import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Ban, KeyRound, LockKeyholeOpen, Plus, Trash2, Users } from 'lucide-react';
import { useState } from 'react';

import { api } from '~/api/client';
import { sessionQuery, useMay } from '~/api/session';
import { usersQuery, type User } from '~/api/users';
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
  const noOwner = !mayWrite && 'Owners do this.';
  const ofOther = (user: User) =>
    noOwner || (user.id === identity?.user_id && 'Nobody shuts themselves out.');
  const actions = (user: User) => (
    <Menu
      label={`Actions for ${user.name}`}
      items={[
        {
          label: 'Change password…',
          icon: KeyRound,
          reason: user.id !== identity?.user_id && noOwner,
          onSelect: () => setPassword(user),
        },
        {
          label: user.disabled ? 'Let in again' : 'Lock out',
          icon: user.disabled ? LockKeyholeOpen : Ban,
          reason: ofOther(user),
          onSelect: () => change.mutate({ id: user.id, disabled: !user.disabled }, { onError: tell }),
        },
        null,
        {
          label: 'Delete…',
          icon: Trash2,
          danger: true,
          reason: ofOther(user),
          onSelect: () => setRemoving(user),
        },
      ]}
    />
  );
  return (
    <Page
      title="Users"
      subtitle="Who may log in, and what each of them may do: every role does what those before it do."
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
              <span className="long">
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
                  <option key={value} value={value}>
                    {label}
                  </option>
                ))}
              </select>
            ),
          },
          {
            name: 'Status',
            cell: (user) =>
              user.disabled ? <Badge tone="bad">locked out</Badge> : <Badge tone="good">active</Badge>,
          },
          { name: 'Since', cell: (user) => <Ago at={user.created_at} /> },
          { name: 'Password changed', cell: (user) => <Ago at={user.password_changed_at} /> },
          { name: 'Actions', silent: true, end: true, cell: actions },
        ]}
        empty={<Empty icon={Users} title="No users" />}
      />
      {making && <NewUser onClose={() => setMaking(false)} />}
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
