import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { KeyRound, Plus } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';
import { sessionQuery, useMay } from '~/api/session';
import { usersQuery } from '~/api/users';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Confirm } from '~/ui/Dialog';
import { Empty } from '~/ui/Notes';
import { Page } from '~/ui/Page';
import { Badge } from '~/ui/Status';
import { PagedTable } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { NewToken } from '~/views/tokens/NewToken';

type Token = Schemas['TokenAnswer'];

const tokensQuery = listQuery(['tokens'], async (cursor, signal) =>
  data(await api.GET('/v1/tokens', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal })),
);

/** Tokens of programs; each is shown once, when it is made. */
export function TokensPage() {
  const tokens = useInfiniteQuery(tokensQuery);
  const mayWrite = useMay('tokens:write');
  const { data: identity } = useQuery(sessionQuery);
  const mayReadUsers = useMay('users:read');
  const { data: users } = useInfiniteQuery({ ...usersQuery, enabled: mayReadUsers });
  const whose = ({ user_id: id }: Token) => {
    if (id === identity?.user_id) return 'you';
    const user = users?.pages.flatMap((page) => page.items).find((one) => one.id === id);
    return user?.name ?? <code className="muted">{id}</code>;
  };
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const revoke = useAction(['tokens'], (id: string) =>
    api.DELETE('/v1/tokens/{token_id}', { params: { path: { token_id: id } } }),
  );
  const make = mayWrite && (
    <Button look="primary" onClick={() => setMaking(true)}>
      <Plus aria-hidden />
      New token
    </Button>
  );
  return (
    <Page
      title="Tokens"
      subtitle="Programs call the API with a token: the command line, CI, your own services."
      actions={make}
    >
      <PagedTable
        label="Tokens"
        query={tokens}
        keyOf={(token) => token.id}
        columns={[
          { name: 'Name', cell: (token) => <b className="long">{token.name}</b> },
          ...(mayReadUsers ? [{ name: 'Of', cell: whose }] : []),
          { name: 'May', cell: (token) => <Scopes scopes={token.scopes} /> },
          { name: 'Made', cell: (token) => <Ago at={token.created_at} /> },
          { name: 'Last used', cell: (token) => <Ago at={token.last_used} /> },
          { name: 'Expires', cell: (token) => <Expiry at={token.expires_at} /> },
          ...(mayWrite
            ? [
                {
                  name: 'Actions',
                  silent: true,
                  end: true,
                  cell: (token: Token) => (
                    <Button
                      small
                      look="danger"
                      aria-label={`Revoke ${token.name}`}
                      onClick={() => setRevoking(token)}
                    >
                      Revoke
                    </Button>
                  ),
                },
              ]
            : []),
        ]}
        empty={
          <Empty icon={KeyRound} title="No tokens yet" action={make}>
            A token is a password for a program, with its own permissions.
          </Empty>
        }
      />
      <NewToken open={making} onClose={() => setMaking(false)} />
      <Confirm
        title={`Revoke ${revoking?.name ?? ''}?`}
        text="Whoever uses it is refused from now on."
        action="Revoke"
        open={revoking !== null}
        onClose={() => setRevoking(null)}
        onConfirm={() => (revoking ? revoke.mutateAsync(revoking.id) : Promise.resolve())}
      />
    </Page>
  );
}

function Expiry({ at }: { at: string | null }) {
  const [now] = useState(() => Date.now());
  return at !== null && new Date(at).getTime() <= now ? <Badge>expired</Badge> : <Ago at={at} />;
}

function Scopes({ scopes }: { scopes: readonly string[] }) {
  const first = scopes.slice(0, 3).join(', ');
  if (scopes.length <= 3) return <span className="muted">{first}</span>;
  return (
    <details className="muted">
      <summary>{`${first} and ${scopes.length - 3} more`}</summary>
      {scopes.slice(3).join(', ')}
    </details>
  );
}
