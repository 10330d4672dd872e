import { useInfiniteQuery } from '@tanstack/react-query';
import { FileUp, LockKeyhole, Plus, RefreshCw, Trash2 } from 'lucide-react';
import { useState } from 'react';

import { api, data } from '~/api/client';
import { secretsQuery, type Secret } from '~/api/secrets';
import { useMay } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Confirm } from '~/ui/Dialog';
import { Menu } from '~/ui/Menu';
import { Empty } from '~/ui/Notes';
import { Page } from '~/ui/Page';
import { PagedTable, type Column } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { useSay } from '~/ui/Toasts';
import { WithCopy } from '~/ui/WithCopy';
import { ImportSecrets } from '~/views/secrets/ImportSecrets';
import { PutSecret } from '~/views/secrets/PutSecret';

/** The names of secrets; their values are never shown again. */
export function SecretsPage() {
  const secrets = useInfiniteQuery(secretsQuery);
  const mayWrite = useMay('secrets:write');
  const [asking, setAsking] = useState<'put' | 'import' | 'rotate' | Secret | null>(null);
  const [replacing, setReplacing] = useState<string | null>(null);
  const say = useSay();
  const close = () => {
    setAsking(null);
    setReplacing(null);
  };
  const rotate = useAction(['secrets'], async () => data(await api.POST('/v1/secrets/rotate')));
  const remove = useAction(['secrets'], (key: string) =>
    api.DELETE('/v1/secrets/{key}', { params: { path: { key } } }),
  );
  const add = mayWrite && (
    <Button look="primary" onClick={() => setAsking('put')}>
      <Plus aria-hidden />
      New secret
    </Button>
  );
  return (
    <Page
      title="Secrets"
      subtitle={
        <>
          Flows read them as <code>{'${secrets.KEY}'}</code>. They are encrypted, and masked wherever they
          would show.
        </>
      }
      actions={
        <>
          {mayWrite && (
            <>
              <Button onClick={() => setAsking('rotate')}>
                <RefreshCw aria-hidden />
                Rotate keys
              </Button>
              <Button onClick={() => setAsking('import')}>
                <FileUp aria-hidden />
                Import
              </Button>
            </>
          )}
          {add}
        </>
      }
    >
      <PagedTable
        label="Secrets"
        query={secrets}
        columns={columns(mayWrite, setReplacing, setAsking)}
        keyOf={(secret) => secret.key}
        empty={
          <Empty icon={LockKeyhole} title="No secrets yet" action={add}>
            Keep passwords and keys here instead of in flows.
          </Empty>
        }
      />
      {(asking === 'put' || replacing !== null) && <PutSecret secret={replacing} onClose={close} />}
      {asking === 'import' && <ImportSecrets onClose={close} />}
      <Confirm
        title="Rotate the keys?"
        text="All secrets are encrypted again under a new key. Nothing changes for flows."
        action="Rotate"
        danger={false}
        open={asking === 'rotate'}
        onClose={close}
        onConfirm={async () => {
          const done = await rotate.mutateAsync();
          say(
            `${done.resealed} values were encrypted again${done.failed ? `, ${done.failed} could not be` : ''}.`,
          );
        }}
      />
      <Confirm
        title={typeof asking === 'object' && asking ? `Delete ${asking.key}?` : ''}
        text="Flows that read it fail from then on."
        action="Delete"
        open={typeof asking === 'object' && asking !== null}
        onClose={close}
        onConfirm={() =>
          typeof asking === 'object' && asking ? remove.mutateAsync(asking.key) : Promise.resolve()
        }
      />
    </Page>
  );
}

function columns(
  mayWrite: boolean,
  onReplace: (key: string) => void,
  onDelete: (secret: Secret) => void,
): Column<Secret>[] {
  const actions: Column<Secret> = {
    name: 'Actions',
    silent: true,
    end: true,
    cell: (secret) => (
      <Menu
        label={`Actions for ${secret.key}`}
        items={[
          { label: 'Replace…', icon: RefreshCw, onSelect: () => onReplace(secret.key) },
          { label: 'Delete…', icon: Trash2, danger: true, onSelect: () => onDelete(secret) },
        ]}
      />
    ),
  };
  return [
    {
      name: 'Key',
      cell: (secret) => (
        <WithCopy text={`\${secrets.${secret.key}}`} label={`Copy how a flow reads ${secret.key}`}>
          <code>{secret.key}</code>
        </WithCopy>
      ),
    },
    { name: 'Version', end: true, cell: (secret) => secret.version },
    { name: 'Made', cell: (secret) => <Ago at={secret.created_at} /> },
    { name: 'Changed', cell: (secret) => <Ago at={secret.updated_at} /> },
    { name: 'Last read', cell: (secret) => <Ago at={secret.used_at} /> },
    ...(mayWrite ? [actions] : []),
  ];
}
