import { useCache } from '~/api/queries';
import type { CacheView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Facts } from '~/parts/Facts';
import { Panel } from '~/parts/Panel';
import { CacheRoom } from './CacheRoom';

/** The local tier: its disk, what it takes of it, what it may take. */
export function CachePanel({ cache }: { cache: CacheView }) {
  const { t, f } = useWords();
  const room = useCache();
  return (
    <Panel title={t.overview.cache} aside={t.storage.cacheHint}>
      <div className="page">
        <Facts
          facts={[
            [t.storage.cacheFreeDisk, `${f.bytes(cache.free_bytes)} ${t.overview.of(f.bytes(cache.disk_bytes))}`],
            [t.storage.cachePacks, f.number(cache.packs)],
            [t.storage.cachePoints, t.overview.points(f.number(cache.snapshots), cache.snapshots)],
          ]}
        />
        <Await of={room} skeleton={2}>
          {(data) => <CacheRoom room={data} />}
        </Await>
      </div>
    </Panel>
  );
}
