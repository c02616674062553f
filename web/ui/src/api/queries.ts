/** What pages ask for. Fresh by events (see events.ts); the intervals only bridge what has no event. */
import {
  useInfiniteQuery,
  useQuery,
  useQueryClient,
  type QueryClient,
  type UseQueryResult,
} from '@tanstack/react-query';
import { PREVIEW_BYTES, textOf, type Place } from '~/lib/files';
import { $api, http, need } from './client';
import type * as T from './types';

type Answer<Data> = UseQueryResult<Data, unknown>;

/** Rates move without events: look again this often while data flows. */
const WHILE_BUSY_MS = 2000;
const CALM_MS = 30_000;
/** Entries of a folder that meet the page at once. */
const FOLDER_PAGE = 200;

const busy = (status: T.StatusView | undefined) =>
  status !== undefined && (status.jobs.length > 0 || status.bucket.queued_bytes > 0);

export const useStatus = () =>
  $api.useQuery('get', '/api/v1/status', undefined, {
    refetchInterval: (query) => (busy(query.state.data as T.StatusView | undefined) ? WHILE_BUSY_MS : CALM_MS),
  }) as Answer<T.StatusView>;

export const useApps = () => $api.useQuery('get', '/api/v1/apps') as Answer<T.AppView[]>;

export const useApp = (host: string, app: string) =>
  $api.useQuery('get', '/api/v1/apps/{host}/{app}', { params: { path: { host, app } } }) as Answer<T.AppView>;

/** Commands around the backups of an app. */
export const useHooks = (host: string, app: string) =>
  $api.useQuery('get', '/api/v1/apps/{host}/{app}/hooks', {
    params: { path: { host, app } },
  }) as Answer<T.HooksView>;

export const useSnapshots = (app: string, enabled = true) =>
  $api.useQuery('get', '/api/v1/snapshots', { params: { query: { app } } }, { enabled }) as Answer<T.SnapshotView[]>;

/** Those that somebody forgot and that can be brought back. */
export const useForgotten = (app: string) =>
  $api.useQuery('get', '/api/v1/snapshots', { params: { query: { app, forgotten: true } } }) as Answer<T.SnapshotView[]>;

export const useSnapshot = (id: string | undefined) =>
  $api.useQuery(
    'get',
    '/api/v1/snapshots/{id}',
    { params: { path: { id: id ?? '' } } },
    { enabled: id !== undefined, staleTime: Infinity },
  ) as Answer<T.SnapshotDetail>;

/** Snapshots never change: what was seen of one stays true. */
export const useSections = (id: string | undefined) =>
  $api.useQuery(
    'get',
    '/api/v1/snapshots/{id}/sections',
    { params: { path: { id: id ?? '' } } },
    { enabled: id !== undefined, staleTime: Infinity },
  ) as Answer<T.SectionView[]>;

export const useFolder = ({ snapshot, section, path }: Place, enabled: boolean) =>
  useInfiniteQuery({
    queryKey: ['get', '/api/v1/snapshots/{id}/files', snapshot, section, path],
    queryFn: async ({ pageParam }) => {
      const query = { section, path, limit: FOLDER_PAGE, ...(pageParam === undefined ? {} : { after: pageParam }) };
      const answer = http.GET('/api/v1/snapshots/{id}/files', { params: { path: { id: snapshot }, query } });
      return (await need(answer)) as T.FolderView;
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    enabled,
    staleTime: Infinity,
  });

/** What differs between two restore points, one page after the other. */
export const useDiff = (before: string, after: string) =>
  useInfiniteQuery({
    queryKey: ['get', '/api/v1/snapshots/{id}/diff', before, after],
    queryFn: async ({ pageParam }) => {
      const query = { before, limit: FOLDER_PAGE, ...(pageParam === undefined ? {} : { after: pageParam }) };
      const answer = http.GET('/api/v1/snapshots/{id}/diff', { params: { path: { id: after }, query } });
      return (await need(answer)) as T.DiffView;
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next ?? undefined,
    staleTime: Infinity,
  });

export const useFound = (host: string, app: string, pattern: string) =>
  $api.useQuery('get', '/api/v1/apps/{host}/{app}/files', {
    params: { path: { host, app }, query: { pattern } },
  }) as Answer<T.FindView>;

/** The beginning of a file as text; null if it is none. */
export const usePreview = (url: string | null) =>
  useQuery({
    queryKey: ['preview', url],
    queryFn: async () => {
      const answer = await fetch(url ?? '', { headers: { range: `bytes=0-${PREVIEW_BYTES - 1}` } });
      if (answer.status === 416) return { text: '', whole: true };
      if (!answer.ok) throw await answer.json();
      const bytes = new Uint8Array(await answer.arrayBuffer());
      return { text: textOf(bytes), whole: bytes.length < PREVIEW_BYTES };
    },
    enabled: url !== null,
    gcTime: 0,
    retry: false,
  }) as Answer<{ text: string | null; whole: boolean }>;

export const useJobs = () => $api.useQuery('get', '/api/v1/jobs') as Answer<T.JobView[]>;
export const useJob = (id: string) =>
  $api.useQuery('get', '/api/v1/jobs/{id}', { params: { path: { id } } }) as Answer<T.JobView>;
export const useHosts = () => $api.useQuery('get', '/api/v1/hosts') as Answer<T.HostView[]>;
export const usePolicies = () => $api.useQuery('get', '/api/v1/policies') as Answer<T.PolicyView[]>;
export const useCheckReport = () => $api.useQuery('get', '/api/v1/check') as Answer<T.CheckView | null>;
/** How much is verified each day without anybody asking. */
export const useVerification = () => $api.useQuery('get', '/api/v1/check/daily') as Answer<T.VerificationView>;
export const useCoverage = () =>
  $api.useQuery('get', '/api/v1/coverage', undefined, { gcTime: 0 }) as Answer<T.CoverageView>;
export const useDoctor = (enabled: boolean) =>
  $api.useQuery('get', '/api/v1/doctor', undefined, { enabled, gcTime: 0 }) as Answer<T.DoctorLine[]>;
export const usePrunePlan = (enabled: boolean) =>
  $api.useQuery('get', '/api/v1/prune', undefined, { enabled, gcTime: 0 }) as Answer<T.PruneView>;
export const useKeys = () => $api.useQuery('get', '/api/v1/keys') as Answer<T.KeysView>;
export const useSetup = () => $api.useQuery('get', '/api/v1/setup') as Answer<T.SetupView>;
export const useSession = () => $api.useQuery('get', '/api/v1/session') as Answer<T.SessionView>;

export const usePlan = (request: T.RestoreRequest | null) =>
  $api.useQuery(
    'post',
    '/api/v1/restores/plan',
    { body: request ?? ({} as T.RestoreRequest) },
    { enabled: request !== null, staleTime: 10_000, placeholderData: (before) => before },
  ) as Answer<T.PlanView>;

/** The local tier and what it may take. */
export const useCache = () =>
  $api.useQuery('get', '/api/v1/cache', undefined, {
    refetchInterval: (query) => ((query.state.data as T.CacheState | undefined)?.waiting ? WHILE_BUSY_MS : CALM_MS),
  }) as Answer<T.CacheState>;

/** What would leave the cache to bring it down to so many bytes; `null` asks for nothing. */
export const useEvictPlan = (aim: number | null) =>
  $api.useQuery(
    'post',
    '/api/v1/cache/evict',
    { body: { aim_bytes: aim, dry_run: true } },
    { enabled: aim !== null, gcTime: 0, placeholderData: (before) => before },
  ) as Answer<T.Evicted>;

/** What may have changed, by topic; each topic names the paths that show it. */
const TOPICS = {
  apps: ['/api/v1/apps', '/api/v1/apps/{host}/{app}', '/api/v1/hosts', '/api/v1/status'],
  hooks: ['/api/v1/apps/{host}/{app}/hooks'],
  snapshots: ['/api/v1/snapshots', '/api/v1/apps', '/api/v1/apps/{host}/{app}', '/api/v1/status', '/api/v1/cache'],
  status: ['/api/v1/status', '/api/v1/policies', '/api/v1/setup', '/api/v1/check', '/api/v1/check/daily', '/api/v1/keys', '/api/v1/cache'],
  keys: ['/api/v1/keys', '/api/v1/status'],
  jobs: ['/api/v1/jobs', '/api/v1/status'],
} as const;
export type Topic = keyof typeof TOPICS;

export function refresh(client: QueryClient, ...topics: Topic[]): void {
  const stale = new Set<string>(topics.flatMap((topic) => TOPICS[topic]));
  void client.invalidateQueries({ predicate: ({ queryKey }) => stale.has(String(queryKey[1])) });
}

export function useRefresh(): (...topics: Topic[]) => void {
  const client = useQueryClient();
  return (...topics) => refresh(client, ...topics);
}
