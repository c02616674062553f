import { Button, Skeleton } from '@mantine/core';
import { IconCloud, IconDatabase, IconServer } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { StatusView } from '~/api/types';
import { useWords } from '~/i18n';
import { placeOf } from '~/lib/bucket';
import { Meter } from '~/parts/Meter';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';
import css from './DataPath.module.css';

/** Hosts, cache, bucket: where the data is and how fast it moves on. */
export function DataPath({ status }: { status: StatusView }) {
  const { t } = useWords();
  const capture = status.jobs.filter((job) => job.kind === 'backup').reduce((sum, job) => sum + job.progress.rate, 0);
  return (
    <Panel title={t.overview.path} quiet>
      <div className={css.path}>
        <Hosts status={status} />
        <Flow rate={capture} word={t.overview.capture} />
        <Cache status={status} />
        <Flow rate={status.bucket.queued_bytes > 0 ? status.bucket.rate : 0} word={t.overview.ship} />
        <Bucket status={status} />
      </div>
    </Panel>
  );
}

export function DataPathBones() {
  return <Skeleton height={156} radius="md" />;
}

function Stop({ icon, name, aside, children }: { icon: ReactNode; name: string; aside?: string; children: ReactNode }) {
  return (
    <div className={css.stop}>
      <div className={css.name}>
        {icon}
        <h3>{name}</h3>
        {aside && <span>{aside}</span>}
      </div>
      {children}
    </div>
  );
}

function Flow({ rate, word }: { rate: number; word: string }) {
  const { t, f } = useWords();
  return (
    <div className={css.flow}>
      <span className="numbers">{rate > 0 ? f.rate(rate) : t.overview.idle}</span>
      <span className={rate > 0 ? `${css.line} ${css.moving}` : css.line} aria-hidden />
      <span>{word}</span>
    </div>
  );
}

function Hosts({ status }: { status: StatusView }) {
  const { t, f } = useWords();
  const containers = status.hosts.reduce((sum, host) => sum + host.containers, 0);
  const down = status.hosts.filter((host) => !host.reachable).map((host) => host.name);
  return (
    <Stop icon={<IconServer size={18} aria-hidden />} name={t.overview.hosts}>
      <div className={css.big}>
        {f.number(status.hosts.length)}{' '}
        <small>
          {t.overview.hostsUnit(status.hosts.length)}, {t.common.containers(f.number(containers), containers)}
        </small>
      </div>
      <div className="dim small">{t.overview.logical(f.bytes(status.bytes_logical))}</div>
      {down.length > 0 && <Pill tone="bad">{t.overview.hostsDown(f.list(down))}</Pill>}
    </Stop>
  );
}

function Cache({ status: { cache, bucket } }: { status: StatusView }) {
  const { t, f } = useWords();
  const shipped = cache.used_bytes - cache.unshipped_bytes;
  const disk = Math.max(1, cache.disk_bytes);
  const waiting =
    bucket.health === 'none'
      ? t.overview.localOnly
      : cache.unshipped_bytes > 0
        ? t.overview.unshipped(f.bytes(cache.unshipped_bytes))
        : t.overview.allShipped;
  return (
    <Stop
      icon={<IconDatabase size={18} color="var(--hf-local)" aria-hidden />}
      name={t.overview.cache}
      aside={t.overview.points(f.number(cache.snapshots), cache.snapshots)}
    >
      <div className={css.big}>
        {f.bytes(cache.used_bytes)} <small>{t.overview.of(f.bytes(cache.disk_bytes))}</small>
      </div>
      <Meter
        label={`${f.bytes(cache.used_bytes)} ${t.overview.of(f.bytes(cache.disk_bytes))}`}
        parts={[
          { share: shipped / disk, kind: 'local' },
          { share: cache.unshipped_bytes / disk, kind: 'busy' },
        ]}
      />
      <div className="dim small">{waiting}</div>
    </Stop>
  );
}

function Bucket({ status }: { status: StatusView }) {
  const { t, f } = useWords();
  const { bucket } = status;
  const icon = <IconCloud size={18} color="var(--hf-cloud)" aria-hidden />;
  if (bucket.health === 'none' || !bucket.url) {
    return (
      <Stop icon={icon} name={t.overview.bucket}>
        <strong>{t.overview.noBucket}</strong>
        <div className="dim small">{t.overview.noBucketHint}</div>
        <div>
          <Button size="xs" renderRoot={(props) => <Link to="/storage" {...props} />}>
            {t.overview.attach}
          </Button>
        </div>
      </Stop>
    );
  }
  const { place, region } = placeOf(bucket.url);
  const saved = bucket.stored_bytes > 0 ? status.bytes_logical / bucket.stored_bytes : 0;
  return (
    <Stop icon={icon} name={t.overview.bucket} aside={t.overview.points(f.number(bucket.snapshots), bucket.snapshots)}>
      <div className={css.big}>
        {f.bytes(bucket.stored_bytes)} {saved >= 1.1 && <small>{t.overview.dedup(ratio(f.locale, saved))}</small>}
      </div>
      <code className="dim">{region ? `${place} · ${region}` : place}</code>
      <div className="row" style={{ gap: '0.4rem' }}>
        <Health status={status} />
        {bucket.queued_bytes > 0 && <Pill tone="calm">{t.overview.queued(f.bytes(bucket.queued_bytes))}</Pill>}
      </div>
      {bucket.error && <div className="dim small">{bucket.error}</div>}
    </Stop>
  );
}

function Health({ status: { bucket } }: { status: StatusView }) {
  const { t } = useWords();
  if (bucket.health === 'failing') return <Pill tone="bad">{t.overview.bucketFailing}</Pill>;
  if (bucket.capabilities?.object_lock) return <Pill tone="good">{t.overview.lockProven}</Pill>;
  return <Pill tone="good">{t.overview.bucketOk}</Pill>;
}

const ratio = (locale: string, value: number) =>
  new Intl.NumberFormat(locale, { maximumFractionDigits: value < 100 ? 1 : 0 }).format(value);
