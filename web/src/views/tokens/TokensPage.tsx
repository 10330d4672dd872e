import { useInfiniteQuery } from '@tanstack/react-query';
import { KeyRound, Plus } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Confirm } from '~/ui/Dialog';
import { Empty } from '~/ui/Notes';
import { Page } from '~/ui/Page';
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
          { name: 'Name', cell: (token) => <b>{token.name}</b> },
          { name: 'May', cell: (token) => <Scopes scopes={token.scopes} /> },
          { name: 'Made', cell: (token) => <Ago at={token.created_at} /> },
          { name: 'Last used', cell: (token) => <Ago at={token.last_used} /> },
          { name: 'Expires', cell: (token) => <Ago at={token.expires_at} /> },
          {
            name: 'Actions',
            silent: true,
            end: true,
            cell: (token) =>
              mayWrite && (
                <Button small look="danger" onClick={() => setRevoking(token)}>
                  Revoke
                </Button>
              ),
          },
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

function Scopes({ scopes }: { scopes: readonly string[] }) {
  return (
    <span className="muted" title={scopes.join(', ')}>
      {scopes.length > 3
        ? `${scopes.slice(0, 3).join(', ')} and ${scopes.length - 3} more`
        : scopes.join(', ')}
    </span>
  );
}
