import { Button } from '@mantine/core';
import { useLink } from '~/api/link';
import type { HostView } from '~/api/types';
import { useWords } from '~/i18n';
import { useNow } from '~/lib/now';
import { Facts } from '~/parts/Facts';
import { Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';

export function HostPanel({ host, onRemove }: { host: HostView; onRemove: () => void }) {
  const { t, f } = useWords();
  const { up } = useLink();
  const now = useNow();
  const { engine } = host;
  return (
    <Panel
      title={host.name}
      aside={host.last_seen ? t.admin.lastSeen(f.ago(host.last_seen, now)) : t.admin.neverSeen}
    >
      <div className="page">
        <div className="row">
          <Pill tone={host.reachable ? 'good' : 'bad'}>{host.reachable ? t.admin.hostUp : t.admin.hostDown}</Pill>
          <code>{host.url}</code>
        </div>
        {host.error && <Notice tone="bad" title={host.error} />}
        <Facts
          facts={[
            [t.apps.title, f.number(host.apps)],
            [t.admin.containers, f.number(host.containers)],
            [t.admin.engine, engine && `${engine.product} ${engine.version}`],
            [t.admin.driver, engine?.driver],
            [t.admin.platform, engine?.platform],
            [t.admin.freeSpace, engine?.free_bytes != null && f.bytes(engine.free_bytes)],
          ]}
        />
        <div>
          <Button size="xs" disabled={!up} onClick={onRemove} aria-label={t.admin.removeHost(host.name)}>
            {t.common.remove}
          </Button>
        </div>
      </div>
    </Panel>
  );
}
