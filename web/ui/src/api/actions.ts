/** What people can change. Each act refreshes what shows it; problems stay with the caller. */
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { Bundle } from '~/lib/bundle';
import { asProblem, http, need } from './client';
import { refresh, type Topic } from './queries';
import type * as T from './types';

function useAct<Input, Output>(act: (input: Input) => Promise<Output>, ...topics: Topic[]) {
  const client = useQueryClient();
  return useMutation<Output, unknown, Input>({
    mutationFn: act,
    onSuccess: () => refresh(client, ...topics),
  });
}

/** Several apps are asked for one by one: one that is being backed up already must not hold up the others. */
async function backUp(apps: string[]): Promise<void> {
  for (const app of apps) {
    try {
      await need(http.POST('/api/v1/backups', { body: { apps: [app], consistency: null, databases: null } }));
    } catch (error) {
      if (apps.length === 1 || asProblem(error).code !== 'backup.running') throw error;
    }
  }
}

export const useBackUp = () => useAct(backUp, 'jobs', 'apps');

/** Covers apps with a policy; the schedule takes their first backups at once. */
export const useProtect = () =>
  useAct(
    async ({ apps, policy }: { apps: Pick<T.AppView, 'host' | 'name'>[]; policy: string }) => {
      for (const { host, name: app } of apps) {
        await need(
          http.PUT('/api/v1/apps/{host}/{app}/policy', { params: { path: { host, app } }, body: { policy } }),
        );
      }
    },
    'jobs',
    'apps',
    'status',
  );

export const useAssign = () =>
  useAct(
    ({ host, name, policy }: { host: string; name: string; policy: string | null }) =>
      need(http.PUT('/api/v1/apps/{host}/{app}/policy', { params: { path: { host, app: name } }, body: { policy } })),
    'apps',
    'status',
  );

/** Sets the commands of one service, or takes away what was set. */
export const useSetHooks = () =>
  useAct(
    ({ hooks, ...path }: { host: string; app: string; service: string; hooks: T.ServiceHooks | null }) =>
      hooks === null
        ? need(http.DELETE('/api/v1/apps/{host}/{app}/hooks/{service}', { params: { path } }))
        : need(http.PUT('/api/v1/apps/{host}/{app}/hooks/{service}', { params: { path }, body: hooks })),
    'hooks',
  );

/** Forgets a restore point: it can be brought back for a while, with `now` it is gone. */
export const useRemoveSnapshot = () =>
  useAct(
    ({ id, now }: { id: string; now: boolean }) =>
      need(http.DELETE('/api/v1/snapshots/{id}', { params: { path: { id }, query: { now } } })),
    'snapshots',
    'status',
  );

/** Brings a restore point back that was forgotten. */
export const useUnforget = () =>
  useAct(
    (id: string) => need(http.POST('/api/v1/snapshots/{id}/unforget', { params: { path: { id } } })),
    'snapshots',
    'status',
  );

export const useStartRestore = () =>
  useAct(
    (body: T.RestoreRequest) => need<T.JobView>(http.POST('/api/v1/restores', { body }) as never),
    'jobs',
    'apps',
  );

export const usePutFile = () =>
  useAct(
    ({ snapshot, body }: { snapshot: string; body: T.PutRequest }) =>
      need<T.JobView>(
        http.POST('/api/v1/snapshots/{id}/files', { params: { path: { id: snapshot } }, body }) as never,
      ),
    'jobs',
    'apps',
  );

export const useCancelJob = () =>
  useAct((id: string) => need(http.POST('/api/v1/jobs/{id}/cancel', { params: { path: { id } } })), 'jobs');

export const useAddHost = () =>
  useAct((body: T.HostRequest) => need<T.HostView>(http.POST('/api/v1/hosts', { body }) as never), 'apps', 'status');

export const useRemoveHost = () =>
  useAct((name: string) => need(http.DELETE('/api/v1/hosts/{name}', { params: { path: { name } } })), 'apps', 'status');

export const useSavePolicy = () =>
  useAct(
    (policy: T.Policy) =>
      need(http.PUT('/api/v1/policies/{name}', { params: { path: { name: policy.name } }, body: policy })),
    'status',
    'apps',
  );

export const useRemovePolicy = () =>
  useAct(
    (name: string) => need(http.DELETE('/api/v1/policies/{name}', { params: { path: { name } } })),
    'status',
    'apps',
  );

export const useCheck = () =>
  useAct(
    (readData: boolean) => need(http.POST('/api/v1/check', { params: { query: { read_data: readData } } })),
    'jobs',
  );

/** Decides how much is verified each day, in percent. */
export const useVerificationRule = () =>
  useAct(
    (percent: number) =>
      need<T.VerificationView>(http.PUT('/api/v1/check/daily', { body: { daily_percent: percent } }) as never),
    'status',
  );

export const usePrune = () => useAct((_: void) => need(http.POST('/api/v1/prune')), 'jobs', 'status');

export const useProbe = () => useAct((_: void) => need(http.POST('/api/v1/bucket/probe')), 'status');

/** The next decision is compared with what this one left: it is shown before anybody can take it. */
export function useUploads() {
  const client = useQueryClient();
  return useMutation<T.BucketView, unknown, T.Uploads & { expected: T.Uploads }>({
    mutationFn: (body) => need<T.BucketView>(http.PUT('/api/v1/bucket/uploads', { body }) as never),
    onSuccess: (bucket) => {
      client.setQueriesData<T.StatusView>({ queryKey: ['get', '/api/v1/status'] }, (status) => status && { ...status, bucket });
      refresh(client, 'status');
    },
  });
}

/** Decides how long the bucket keeps what is written into it; `null` locks nothing any more. */
export const useLock = () =>
  useAct(
    (body: { rule: T.LockRule | null }) => need<T.BucketView>(http.PUT('/api/v1/bucket/lock', { body }) as never),
    'status',
    'snapshots',
  );

export const useCacheRule = () =>
  useAct((body: T.CacheRule) => need<T.CacheState>(http.PUT('/api/v1/cache', { body }) as never), 'status');

/** Lets data leave the cache until it takes so many bytes. */
export const useEvict = () =>
  useAct(
    (aim: number) =>
      need<T.Evicted>(http.POST('/api/v1/cache/evict', { body: { aim_bytes: aim, dry_run: false } }) as never),
    'status',
    'snapshots',
  );

/** Brings a restore point back into the cache. */
export const useWarm = () =>
  useAct(
    (id: string) =>
      need<T.JobView>(http.POST('/api/v1/snapshots/{id}/warm', { params: { path: { id } } }) as never),
    'jobs',
  );

export const useAttachBucket = () =>
  useAct(
    (body: T.BucketRequest) => need<T.BucketView>(http.PUT('/api/v1/bucket', { body }) as never),
    'status',
    'snapshots',
  );

export const useEnrol = () =>
  useAct(
    ({ bundle, leaveBehind }: { bundle: Bundle; leaveBehind: boolean }) =>
      need<{ provider: string; tenant: string }>(
        http.POST('/api/v1/enrol', { params: { query: { leave_behind: leaveBehind } }, body: bundle }) as never,
      ),
    'status',
    'snapshots',
  );

export const useKit = () =>
  useAct((password: string) => need<T.KitView>(http.POST('/api/v1/kit', { body: { password } }) as never));

export const useConfirmKit = () => useAct((_: void) => need(http.POST('/api/v1/kit/confirm')), 'status');

export const useAddPassphrase = () =>
  useAct(
    (body: { name: string; passphrase: string; password: string }) =>
      need<T.KeysChange>(http.POST('/api/v1/keys/passphrases', { body }) as never),
    'keys',
  );

export const useChangePassphrase = () =>
  useAct(
    ({ id, passphrase, password }: { id: string; passphrase: string; password: string }) =>
      need<T.KeysChange>(
        http.PUT('/api/v1/keys/{id}', { params: { path: { id } }, body: { passphrase, password } }) as never,
      ),
    'keys',
  );

export const useAddEscrow = () =>
  useAct(
    (body: { name: string; public_key: string; password: string }) =>
      need<T.KeysChange>(http.POST('/api/v1/keys/escrow', { body }) as never),
    'keys',
  );

export const useRemoveSlot = () =>
  useAct(
    (id: string) => need<T.KeysChange>(http.DELETE('/api/v1/keys/{id}', { params: { path: { id } } }) as never),
    'keys',
  );

export const useRotateEpoch = () =>
  useAct(
    (password: string) => need<T.KeysChange>(http.POST('/api/v1/keys/rotate', { body: { password } }) as never),
    'keys',
  );

export const useRotateRecovery = () =>
  useAct(
    (password: string) => need<T.KeysChange>(http.POST('/api/v1/keys/recovery', { body: { password } }) as never),
    'keys',
  );

export const useRecover = () =>
  useAct(
    (body: T.RecoverRequest) =>
      need<T.JobView>(http.POST('/api/v1/recover', { body }) as never),
    'jobs',
  );

export const useCreateAdmin = () =>
  useAct((body: { token: string; name: string; password: string }) =>
    need<T.SessionView>(http.POST('/api/v1/setup', { body }) as never),
  );

export const useLogin = () =>
  useAct((body: { name: string; password: string }) =>
    need<T.SessionView>(http.POST('/api/v1/session', { body }) as never),
  );

export const useLogout = () => useAct((_: void) => need(http.DELETE('/api/v1/session')));
