import { Button, Modal } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { useProbe } from '~/api/actions';
import { useLink } from '~/api/link';
import type { BucketView } from '~/api/types';
import { useWords } from '~/i18n';
import { useNow } from '~/lib/now';
import { ChangeButton } from '~/parts/ChangeButton';
import { Facts } from '~/parts/Facts';
import { BucketForm } from '~/parts/forms/BucketForm';
import { BundleForm } from '~/parts/forms/BundleForm';
import { Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';
import { useToasts } from '~/parts/Toasts';
import { Abilities } from './Abilities';
import { Lock } from './Lock';
import { Uploads } from './Uploads';

/** The cloud tier: where, how it does, what it was seen to do. */
export function BucketPanel({ bucket }: { bucket: BucketView }) {
  const { t } = useWords();
  const none = bucket.health === 'none';
  return (
    <Panel title={t.overview.bucket} aside={t.storage.bucketHint}>
      <div className="page">
        {none && (
          <Notice tone="warn" title={t.overview.noBucket}>
            {t.overview.noBucketHint}
          </Notice>
        )}
        {bucket.health === 'failing' && (
          <Notice tone="bad" title={bucket.error ?? t.overview.bucketFailing}>
            <span className="mono small dim">{bucket.error_code}</span>
          </Notice>
        )}
        {!none && <BucketFacts bucket={bucket} />}
        {!none && <Uploads bucket={bucket} />}
        {!none && <Lock bucket={bucket} />}
        <BucketActs none={none} />
        {!none && <Abilities capabilities={bucket.capabilities} />}
      </div>
    </Panel>
  );
}

function BucketFacts({ bucket }: { bucket: BucketView }) {
  const { t, f } = useWords();
  const now = useNow();
  const stored = [f.bytes(bucket.stored_bytes), bucket.quota_bytes && t.storage.quota(f.bytes(bucket.quota_bytes))];
  return (
    <>
      <div className="row">
        {bucket.health === 'ok' && <Pill tone="good">{t.overview.bucketOk}</Pill>}
        <code>{bucket.url}</code>
      </div>
      <Facts
        facts={[
          [t.storage.proxy, bucket.proxy],
          [t.storage.stored, stored.filter(Boolean).join(' ')],
          [t.storage.bucketPoints, t.overview.points(f.number(bucket.snapshots), bucket.snapshots)],
          [
            t.storage.bucketQueue,
            t.storage.queueLine(f.bytes(bucket.queued_bytes), f.number(bucket.queued_objects), bucket.queued_objects),
          ],
          [t.storage.sending, bucket.rate > 0 && bucket.queued_bytes > 0 ? f.rate(bucket.rate) : t.overview.idle],
          [t.storage.lastAck, bucket.last_ack ? f.ago(bucket.last_ack, now) : t.common.never],
        ]}
      />
    </>
  );
}

function BucketActs({ none }: { none: boolean }) {
  const { t } = useWords();
  const { up } = useLink();
  const probe = useProbe();
  const { done, failed } = useToasts();
  const [opened, dialog] = useDisclosure(false);
  const [kind, setKind] = useState<'s3' | 'bundle'>('s3');
  const show = (next: typeof kind) => {
    setKind(next);
    dialog.open();
  };
  return (
    <div className="row">
      {!none && (
        <ChangeButton
          loading={probe.isPending}
          onClick={() => probe.mutate(undefined, { onSuccess: () => done(t.storage.probedDone), onError: failed })}
        >
          {t.storage.probe}
        </ChangeButton>
      )}
      <Button disabled={!up} onClick={() => show('s3')}>
        {none ? t.storage.attach : t.storage.change}
      </Button>
      <Button disabled={!up} onClick={() => show('bundle')}>
        {t.storage.enrol}
      </Button>
      <Modal
        opened={opened}
        onClose={dialog.close}
        title={kind === 's3' ? t.entry.bucketS3 : t.entry.bucketBundle}
        closeButtonProps={{ 'aria-label': t.common.close }}
      >
        {kind === 's3' ? <BucketForm onDone={dialog.close} /> : <BundleForm onDone={dialog.close} />}
      </Modal>
    </div>
  );
}
