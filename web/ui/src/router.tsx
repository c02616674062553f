/** The map of the house: every page is fetched when it is first opened. */
import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from '@tanstack/react-router';
import { $api, asProblem, whenLoggedOut } from './api/client';
import { Shell } from './layout/Shell';
import { NotFound, PageFailed, PageLoading } from './layout/fallbacks';
import { Overview } from './pages/overview/Overview';

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFound });

function routes(client: QueryClient) {
  const setup = createRoute({
    getParentRoute: () => root,
    path: '/setup',
    component: lazyRouteComponent(() => import('./pages/setup/Setup'), 'Setup'),
  });
  const login = createRoute({
    getParentRoute: () => root,
    path: '/login',
    component: lazyRouteComponent(() => import('./pages/login/Login'), 'Login'),
  });
  const inside = createRoute({
    getParentRoute: () => root,
    id: 'inside',
    component: Shell,
    beforeLoad: () => letIn(client),
  });
  const page = <Path extends string>(path: Path, load: () => Promise<object>, name: string) =>
    createRoute({
      getParentRoute: () => inside,
      path,
      component: lazyRouteComponent(load as () => Promise<Record<string, () => React.ReactNode>>, name),
    });
  const overview = createRoute({ getParentRoute: () => inside, path: '/', component: Overview });
  return root.addChildren([
    setup,
    login,
    inside.addChildren([
      overview,
      page('/apps', () => import('./pages/apps/Apps'), 'Apps'),
      page('/apps/$host/$app', () => import('./pages/app/AppPage'), 'AppPage'),
      page('/restore', () => import('./pages/restore/RestorePage'), 'RestorePage'),
      page('/recover', () => import('./pages/recover/Recover'), 'Recover'),
      page('/jobs', () => import('./pages/jobs/Jobs'), 'Jobs'),
      page('/policies', () => import('./pages/policies/Policies'), 'Policies'),
      page('/storage', () => import('./pages/storage/Storage'), 'Storage'),
      page('/hosts', () => import('./pages/hosts/Hosts'), 'Hosts'),
      page('/settings', () => import('./pages/settings/Settings'), 'Settings'),
    ]),
  ]);
}

/** Nobody sees a page without a session; a new appliance is set up first. */
async function letIn(client: QueryClient): Promise<void> {
  try {
    await client.ensureQueryData($api.queryOptions('get', '/api/v1/session'));
  } catch (error) {
    if (asProblem(error).status !== 401) throw error;
    const setup = await client.fetchQuery($api.queryOptions('get', '/api/v1/setup'));
    throw redirect({ to: setup.done ? '/login' : '/setup' });
  }
}

export function makeRouter(client: QueryClient) {
  const router = createRouter({
    routeTree: routes(client),
    defaultPreload: 'intent',
    defaultPendingComponent: PageLoading,
    defaultErrorComponent: PageFailed,
    scrollRestoration: true,
  });
  whenLoggedOut(() => {
    client.removeQueries({ queryKey: ['get', '/api/v1/session'] });
    void router.navigate({ to: '/login' });
  });
  return router;
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
