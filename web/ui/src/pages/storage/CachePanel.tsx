import type { CacheView } from '~/api/types';
import { useWords } from '~/i18n';
import { Facts } from '~/parts/Facts';
import { Meter } from '~/parts/Meter';
import { Panel } from '~/parts/Panel';

export function CachePanel({ cache }: { cache: CacheView }) {
  const { t, f } = useWords();
  const disk = Math.max(1, cache.disk_bytes);
  const label = `${f.bytes(cache.used_bytes)} ${t.overview.of(f.bytes(cache.disk_bytes))}`;
  return (
    <Panel title={t.overview.cache} aside={t.storage.cacheHint}>
      <div className="stack" style={{ gap: '1rem' }}>
        <Meter
          label={label}
          parts={[
            { share: (cache.used_bytes - cache.unshipped_bytes) / disk, kind: 'local' },
            { share: cache.unshipped_bytes / disk, kind: 'busy' },
          ]}
        />
        <Facts
          facts={[
            [t.storage.cacheUsed, label],
            [t.storage.cacheFree, f.bytes(cache.free_bytes)],
            [t.storage.cacheWaiting, f.bytes(cache.unshipped_bytes)],
            [t.storage.cachePacks, f.number(cache.packs)],
            [t.storage.cachePoints, t.overview.points(f.number(cache.snapshots), cache.snapshots)],
          ]}
        />
      </div>
    </Panel>
  );
}
