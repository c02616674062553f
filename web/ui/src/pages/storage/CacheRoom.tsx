import { Button, Modal } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { useLink } from '~/api/link';
import type { CacheState } from '~/api/types';
import { useWords } from '~/i18n';
import { shares } from '~/lib/cache';
import { Facts } from '~/parts/Facts';
import { Meter } from '~/parts/Meter';
import { Notice } from '~/parts/Notice';
import { CacheFree } from './CacheFree';
import { CacheRuleForm } from './CacheRuleForm';

/** What the cache takes of what it may take, what was decided about that, and both to be changed. */
export function CacheRoom({ room }: { room: CacheState }) {
  const { t, f } = useWords();
  const label = `${f.bytes(room.used_bytes)} ${t.overview.of(f.bytes(room.limit_bytes))}`;
  const { unshipped, newest, rest } = shares(room);
  const { rule } = room;
  return (
    <div className="page">
      {room.waiting && (
        <Notice tone="warn" title={t.storage.cacheWaits}>
          {t.storage.cacheWaitsHint}
        </Notice>
      )}
      <Meter
        label={label}
        parts={[
          { share: unshipped, kind: 'busy' },
          { share: newest, kind: 'local' },
          { share: rest, kind: 'calm' },
        ]}
      />
      <Facts
        facts={[
          [t.storage.cacheUsed, label],
          [t.storage.cacheWaiting, f.bytes(room.unshipped_bytes)],
          [t.storage.cacheNewest, f.bytes(room.newest_bytes)],
          [t.storage.cacheLeaves, f.bytes(room.evictable_bytes)],
          [t.storage.cachePinned, f.bytes(room.pinned_bytes)],
          [t.storage.cacheAway, f.bytes(room.bucket_only_bytes)],
          [t.storage.cacheQuota, rule.quota_bytes === null ? t.storage.cacheQuotaNone : f.bytes(rule.quota_bytes)],
          [t.storage.cacheReserve, rule.reserve_bytes === null ? t.storage.cacheReserveAuto : f.bytes(rule.reserve_bytes)],
          [t.storage.cacheKeep, t.storage.cacheKeepLine(f.number(rule.keep_newest), rule.keep_newest)],
          [t.storage.cacheFull, t.storage.whenFull[rule.when_full]],
        ]}
      />
      <CacheActs room={room} />
    </div>
  );
}

function CacheActs({ room }: { room: CacheState }) {
  const { t } = useWords();
  const { up } = useLink();
  const [opened, dialog] = useDisclosure(false);
  const [act, setAct] = useState<'rule' | 'free'>('rule');
  const show = (next: typeof act) => {
    setAct(next);
    dialog.open();
  };
  return (
    <div className="row">
      <Button disabled={!up} onClick={() => show('rule')}>
        {t.storage.cacheChange}
      </Button>
      <Button disabled={!up} onClick={() => show('free')}>
        {t.storage.cacheFree}
      </Button>
      <Modal
        opened={opened}
        onClose={dialog.close}
        title={act === 'rule' ? t.storage.cacheChange : t.storage.cacheFree}
        closeButtonProps={{ 'aria-label': t.common.close }}
      >
        {opened && act === 'rule' && <CacheRuleForm rule={room.rule} onDone={dialog.close} />}
        {opened && act === 'free' && <CacheFree room={room} onDone={dialog.close} />}
      </Modal>
    </div>
  );
}
