import { useInfiniteQuery } from '@tanstack/react-query';
import { Box, Plus, RefreshCw, Trash2 } from 'lucide-react';
import { useState } from 'react';

import { api, data, type Schemas } from '~/api/client';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { sizeText } from '~/lib/files';
import { useAction } from '~/lib/useAction';
import { Button } from '~/ui/Button';
import { Confirm } from '~/ui/Dialog';
import { Menu } from '~/ui/Menu';
import { Empty } from '~/ui/Notes';
import { Page } from '~/ui/Page';
import { PagedTable, type Column } from '~/ui/Table';
import { Ago } from '~/ui/Time';
import { WithCopy } from '~/ui/WithCopy';
import { PutModule } from '~/views/modules/PutModule';

type Module = Schemas['ModuleModel'];

const modulesQuery = listQuery(['modules'], async (cursor, signal) =>
  data(
    await api.GET('/v1/modules', { params: { query: { limit: 100, ...(cursor && { cursor }) } }, signal }),
  ),
);

/** WebAssembly modules, which the node `wasm` runs by name. */
export function ModulesPage() {
  const modules = useInfiniteQuery(modulesQuery);
  const mayWrite = useMay('flows:write');
  const [putting, setPutting] = useState<Module | 'new' | null>(null);
  const [removing, setRemoving] = useState<Module | null>(null);
  const remove = useAction(['modules'], (module: string) =>
    api.DELETE('/v1/modules/{module}', { params: { path: { module } } }),
  );
  const add = mayWrite && (
    <Button look="primary" onClick={() => setPutting('new')}>
      <Plus aria-hidden />
      New module
    </Button>
  );
  const actions = (module: Module) => (
    <Menu
      label={`Actions for ${module.name}`}
      items={[
        { label: 'Replace…', icon: RefreshCw, onSelect: () => setPutting(module) },
        { label: 'Delete…', icon: Trash2, danger: true, onSelect: () => setRemoving(module) },
      ]}
    />
  );
  return (
    <Page
      title="Modules"
      subtitle={
        <>
          WebAssembly that steps of the type <code>wasm</code> run by name.
        </>
      }
      actions={add}
    >
      <PagedTable
        label="Modules"
        query={modules}
        keyOf={(module) => module.name}
        columns={columns(mayWrite ? actions : null)}
        empty={
          <Empty icon={Box} title="No modules yet" action={add}>
            Keep a program here that was compiled for <code>wasm32-wasip1</code>, from Rust, C, Go or another
            language.
          </Empty>
        }
      />
      {putting !== null && (
        <PutModule module={putting === 'new' ? null : putting.name} onClose={() => setPutting(null)} />
      )}
      <Confirm
        title={`Delete ${removing?.name ?? ''}?`}
        text="Steps that run it fail from then on."
        action="Delete"
        open={removing !== null}
        onClose={() => setRemoving(null)}
        onConfirm={() => (removing ? remove.mutateAsync(removing.name) : Promise.resolve())}
      />
    </Page>
  );
}

function columns(actions: Column<Module>['cell'] | null): Column<Module>[] {
  return [
    { name: 'Name', cell: (module) => <code className="long">{module.name}</code> },
    { name: 'Size', end: true, cell: (module) => sizeText(module.size) },
    {
      name: 'Digest',
      cell: (module) => (
        <WithCopy text={module.digest} label={`Copy the digest of ${module.name}`}>
          <code className="muted" title={module.digest}>
            {module.digest.slice(0, 12)}…
          </code>
        </WithCopy>
      ),
    },
    {
      name: 'Changed',
      cell: (module) => (
        <span>
          <Ago at={module.changed_at} /> <span className="muted">by {module.changed_by}</span>
        </span>
      ),
    },
    ...(actions ? [{ name: 'Actions', silent: true, end: true, cell: actions }] : []),
  ];
}
