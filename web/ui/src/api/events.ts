/** One event stream per tab: it feeds the query cache and tells whether the link is up. */
import type { QueryClient } from '@tanstack/react-query';
import { refresh, type Topic } from './queries';
import type { ApplianceEvent, JobView, StatusView } from './types';
import { isFinal, withJob } from '~/lib/jobs';

export interface Link {
  up: boolean;
  /** When the appliance was heard last, milliseconds. */
  heard: number;
}

/** Bursts of events ask once. */
const GATHER_MS = 250;
/** A browser gives up on a refused stream; we do not. */
const RETRY_MS = 3000;
/** Losses shorter than this are not worth a banner. */
const GRACE_MS = 1500;
/** A browser has six connections per host over HTTP/1.1: a tab that nobody looks at gives its own back. */
const HIDDEN_MS = 60_000;

export function listen(client: QueryClient, tell: (link: Link) => void): () => void {
  let source: EventSource;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let grace: ReturnType<typeof setTimeout> | undefined;
  let heard = Date.now();
  let first = true;
  const later = gatherer(client);

  const opened = () => {
    clearTimeout(grace);
    grace = undefined;
    heard = Date.now();
    tell({ up: true, heard });
    // What happened meanwhile is unknown; on the first connection everything is fresh.
    if (!first) void client.invalidateQueries();
    first = false;
  };
  const lost = () => {
    grace ??= setTimeout(() => tell({ up: false, heard }), GRACE_MS);
    if (source.readyState === EventSource.CLOSED) {
      // Refused, perhaps for an ended session: any question tells, and leads to the log-in.
      refresh(client, 'status');
      clearTimeout(retry);
      retry = setTimeout(connect, RETRY_MS);
    }
  };
  const received = (message: MessageEvent<string>) => {
    heard = Date.now();
    take(client, JSON.parse(message.data) as ApplianceEvent, later);
  };
  function connect() {
    source = new EventSource('/api/v1/events');
    source.onopen = opened;
    source.onerror = lost;
    for (const name of ['job', 'apps', 'snapshots', 'status', 'resync']) source.addEventListener(name, received);
  }
  const away = whenAway(
    () => source.close(),
    () => source.readyState === EventSource.CLOSED && connect(),
  );
  connect();
  return () => {
    away();
    clearTimeout(retry);
    clearTimeout(grace);
    source.close();
  };
}

/** Tells when the tab has been hidden for a while and when it is looked at again. */
function whenAway(leave: () => void, back: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const changed = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(leave, HIDDEN_MS);
    else back();
  };
  document.addEventListener('visibilitychange', changed);
  return () => {
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', changed);
  };
}

function take(client: QueryClient, event: ApplianceEvent, later: (...topics: Topic[]) => void): void {
  switch (event.type) {
    case 'job':
      return takeJob(client, event.job, later);
    case 'resync':
      return void client.invalidateQueries();
    default:
      return later(event.type);
  }
}

function takeJob(client: QueryClient, job: JobView, later: (...topics: Topic[]) => void): void {
  client.setQueriesData<JobView[]>({ queryKey: ['get', '/api/v1/jobs'] }, (jobs) => jobs && withJob(jobs, job));
  client.setQueriesData<JobView>({ queryKey: ['get', '/api/v1/jobs/{id}'] }, (old) => (old?.id === job.id ? job : old));
  client.setQueriesData<StatusView>(
    { queryKey: ['get', '/api/v1/status'] },
    (status) => status && { ...status, jobs: withJob(status.jobs, job).filter((each) => !isFinal(each.state)) },
  );
  if (isFinal(job.state)) later('apps', 'snapshots', 'status', 'jobs');
}

function gatherer(client: QueryClient): (...topics: Topic[]) => void {
  const waiting = new Set<Topic>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (...topics) => {
    topics.forEach((topic) => waiting.add(topic));
    timer ??= setTimeout(() => {
      timer = undefined;
      refresh(client, ...waiting);
      waiting.clear();
    }, GATHER_MS);
  };
}
