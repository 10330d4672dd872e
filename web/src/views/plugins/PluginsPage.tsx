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

import styles from './PluginsPage.module.css';

const pluginsQuery = listQuery(['plugins'], async (_cursor, signal) =>
  data(await api.GET('/v1/plugins', { signal })),
);

/** What the server has beyond its own node types; each can be switched off in an account. */
export function PluginsPage() {
  const plugins = useInfiniteQuery(pluginsQuery);
  const mayWrite = useMay('plugins:write');
  const say = useSay();
  const change = useAction(['plugins'], ({ name, enabled }: { name: string; enabled: boolean }) =>
    api.PATCH('/v1/plugins/{name}', { params: { path: { name } }, body: { enabled } }),
  );
  return (
    <Page
      title="Plugins"
      subtitle={
        <>
          Node types and helpers for scripts beside the built-in ones. Steps of a disabled one fail
          {mayWrite ? '.' : '; owners enable and disable them.'}
        </>
      }
    >
      <PagedTable
        label="Plugins"
        query={plugins}
        keyOf={(plugin) => plugin.name}
        columns={[
          {
            name: 'Plugin',
            cell: (plugin) => (
              <div>
                <code>{plugin.name}</code> {plugin.version}
                <div className="muted">{plugin.source === 'package' ? 'a package' : 'in the folder'}</div>
              </div>
            ),
          },
          {
            name: 'Node types',
            cell: (plugin) =>
              plugin.node_types.length > 0 && (
                <ul>
                  {plugin.node_types.map((type) => (
                    <li key={type.name}>
                      <code>{type.name}</code> {type.title}
                      {type.error !== null && <div className={styles.error}>{type.error}</div>}
                    </li>
                  ))}
                </ul>
              ),
          },
          {
            name: 'Helpers for scripts',
            cell: (plugin) =>
              plugin.helpers.length > 0 && (
                <code>{plugin.helpers.map((name) => `${name}()`).join(', ')}</code>
              ),
          },
          {
            name: 'State',
            cell: (plugin) =>
              plugin.error === null ? (
                <Badge tone="good">loaded</Badge>
              ) : (
                <div>
                  <Badge tone="bad">
                    {plugin.node_types.length + plugin.helpers.length > 0 ? 'faulty' : 'not loaded'}
                  </Badge>
                  <div className={styles.error}>{plugin.error}</div>
                </div>
              ),
          },
          {
            name: 'Enabled',
            cell: (plugin) =>
              mayWrite ? (
                <Checkbox
                  label={plugin.enabled ? 'Enabled' : 'Disabled'}
                  aria-label={`${plugin.name} is enabled`}
                  disabled={change.isPending}
                  checked={plugin.enabled}
                  onChange={(event) =>
                    change.mutate(
                      { name: plugin.name, enabled: event.target.checked },
                      { onError: (error) => say(error.message) },
                    )
                  }
                />
              ) : (
                <Badge tone={plugin.enabled ? 'good' : 'idle'}>
                  {plugin.enabled ? 'enabled' : 'disabled'}
                </Badge>
              ),
          },
        ]}
        empty={
          <Empty icon={Puzzle} title="No plugins are installed">
            A Python package with the entry point <code>flowrunner.nodes</code>, or a file in the folder of
            the setting <code>plugins.folder</code>, adds node types.
          </Empty>
        }
      />
    </Page>
  );
}
