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
    <Panel title={t.overview.cache} aside={t.admin.cacheHint}>
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
            [t.admin.cacheUsed, label],
            [t.admin.cacheFree, f.bytes(cache.free_bytes)],
            [t.admin.cacheWaiting, f.bytes(cache.unshipped_bytes)],
            [t.admin.cachePacks, f.number(cache.packs)],
            [t.admin.cachePoints, t.overview.points(f.number(cache.snapshots), cache.snapshots)],
          ]}
        />
      </div>
    </Panel>
  );
}
