import { useInfiniteQuery } from '@tanstack/react-query';
import { Puzzle } from 'lucide-react';

import { api, data } from '~/api/client';
import { listQuery } from '~/api/lists';
import { useMay } from '~/api/session';
import { useAction } from '~/lib/useAction';
import { Checkbox } from '~/ui/Field';
import { Empty } from '~/ui/Notes';
import { Page } from '~/ui/Page';
import { Badge } from '~/ui/Status';
import { PagedTable } from '~/ui/Table';
import { useSay } from '~/ui/Toasts';

const pluginsQuery = listQuery(['plugins'], async (_cursor, signal) =>
  data(await api.GET('/v1/plugins', { signal })),
);

/** Node types that the server has beyond its own; each can be switched off in an account. */
export function PluginsPage() {
  const plugins = useInfiniteQuery(pluginsQuery);
  const mayWrite = useMay('plugins:write');
  const say = useSay();
  const change = useAction(['plugins'], ({ name, enabled }: { name: string; enabled: boolean }) =>
    api.PATCH('/v1/plugins/{name}', { params: { path: { name } }, body: { enabled } }),
  );
  return (
    <Page title="Plugins" subtitle="Node types that are installed beside the built-in ones.">
      <PagedTable
        label="Plugins"
        query={plugins}
        keyOf={(plugin) => plugin.name}
        columns={[
          { name: 'Node type', cell: (plugin) => <code>{plugin.name}</code> },
          { name: 'Title', cell: (plugin) => plugin.title },
          {
            name: 'State',
            cell: (plugin) =>
              plugin.error === null ? (
                <Badge tone="good">loaded</Badge>
              ) : (
                <span title={plugin.error}>
                  <Badge tone="bad">{plugin.error}</Badge>
                </span>
              ),
          },
          {
            name: 'Enabled',
            cell: (plugin) => (
              <Checkbox
                label={plugin.enabled ? 'Enabled' : 'Disabled'}
                disabled={!mayWrite || change.isPending}
                checked={plugin.enabled}
                onChange={(event) =>
                  change.mutate(
                    { name: plugin.name, enabled: event.target.checked },
                    { onError: (error) => say(error.message) },
                  )
                }
              />
            ),
          },
        ]}
        empty={
          <Empty icon={Puzzle} title="No plugins are installed">
            A Python package with the entry point <code>flowrunner.nodes</code> adds node types.
          </Empty>
        }
      />
    </Page>
  );
}
