import { QueryClient } from '@tanstack/react-query';
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Link,
  redirect,
} from '@tanstack/react-router';
import { Compass } from 'lucide-react';

import { ApiError } from '~/api/client';
import { flowQuery, type FlowFilter } from '~/api/flows';
import { runQuery, timelineQuery, type RunFilter } from '~/api/runs';
import { SessionGuard } from '~/app/SessionGuard';
import { Shell } from '~/app/Shell';
import { buttonClass } from '~/ui/Button';
import { Empty, ErrorNote } from '~/ui/Notes';
import { Page } from '~/ui/Page';

/** What the server refuses is refused again; only what did not arrive is worth another try. */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (count, error) =>
        count < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
      staleTime: 5_000,
    },
  },
});

const root = createRootRoute({
  component: () => (
    <SessionGuard>
      <Shell />
    </SessionGuard>
  ),
  notFoundComponent: () => (
    <Page title="Not found">
      <Empty
        icon={Compass}
        title="There is nothing here"
        action={
          <Link to="/flows" className={buttonClass()}>
            All flows
          </Link>
        }
      >
        The address may be wrong, or what was here is gone.
      </Empty>
    </Page>
  ),
  errorComponent: ({ error }) => (
    <Page title="Something went wrong">
      <ErrorNote error={error} onRetry={() => location.reload()} />
    </Page>
  ),
});

/** What is asked for while the view that shows it is on its way; what is wrong with it the view says. */
export function ahead(asked: Promise<unknown>): void {
  asked.catch(() => undefined);
}

/** A place in a flow: so many lines below the one at which a node begins. */
interface Place {
  node?: string | undefined;
  below?: number | undefined;
}

/** A filter in the address: a text, or nothing. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

const routes = [
  createRoute({
    getParentRoute: () => root,
    path: '/',
    beforeLoad: () => {
      // The router's own way of going elsewhere.
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      throw redirect({ to: '/flows' });
    },
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/flows',
    validateSearch: (search: Record<string, unknown>): FlowFilter => ({
      q: text(search.q),
      status: text(search.status),
      label: text(search.label),
    }),
    component: lazyRouteComponent(() => import('~/views/flows/FlowsPage'), 'FlowsPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/runs',
    validateSearch: (search: Record<string, unknown>): RunFilter => ({
      flow: text(search.flow),
      status: text(search.status),
      since: text(search.since),
    }),
    component: lazyRouteComponent(() => import('~/views/runs/RunsPage'), 'RunsPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/flows/$flowId',
    validateSearch: ({ node, below }: Record<string, unknown>): Place => ({
      // A node may be called 1 or true, which the address gives as what they look like.
      node: node === undefined ? undefined : String(node as string | number | boolean),
      below: typeof below === 'number' ? below : undefined,
    }),
    loader: ({ params }) => ahead(queryClient.query(flowQuery(params.flowId))),
    component: lazyRouteComponent(() => import('~/views/flow/FlowPage'), 'FlowPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/runs/$runId',
    validateSearch: (search: Record<string, unknown>): { step?: string | undefined } => ({
      step: text(search.step),
    }),
    // Another step of the same run is nothing to ask the server for.
    shouldReload: false,
    // Asked for while the view itself is on its way.
    loader: ({ params }) => {
      ahead(queryClient.query(runQuery(params.runId)));
      ahead(queryClient.query(timelineQuery(params.runId)));
    },
    component: lazyRouteComponent(() => import('~/views/run/RunPage'), 'RunPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/secrets',
    component: lazyRouteComponent(() => import('~/views/secrets/SecretsPage'), 'SecretsPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/schedules',
    component: lazyRouteComponent(() => import('~/views/schedules/SchedulesPage'), 'SchedulesPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/webhooks',
    component: lazyRouteComponent(() => import('~/views/webhooks/WebhooksPage'), 'WebhooksPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/webhooks/$webhookId',
    component: lazyRouteComponent(() => import('~/views/webhooks/DeliveriesPage'), 'DeliveriesPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/tokens',
    component: lazyRouteComponent(() => import('~/views/tokens/TokensPage'), 'TokensPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/users',
    component: lazyRouteComponent(() => import('~/views/users/UsersPage'), 'UsersPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/plugins',
    component: lazyRouteComponent(() => import('~/views/plugins/PluginsPage'), 'PluginsPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/modules',
    component: lazyRouteComponent(() => import('~/views/modules/ModulesPage'), 'ModulesPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/account',
    component: lazyRouteComponent(() => import('~/views/account/AccountPage'), 'AccountPage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/usage',
    component: lazyRouteComponent(() => import('~/views/usage/UsagePage'), 'UsagePage'),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/audit',
    component: lazyRouteComponent(() => import('~/views/audit/AuditPage'), 'AuditPage'),
  }),
] as const;

export const router = createRouter({
  routeTree: root.addChildren([...routes]),
  defaultPreload: 'intent',
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
