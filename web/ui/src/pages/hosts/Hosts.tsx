import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useLink } from '~/api/link';
import { useHosts } from '~/api/queries';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Title } from '~/parts/Title';
import { AddHost } from './AddHost';
import { CoveragePanel } from './CoveragePanel';
import { HostPanel } from './HostPanel';
import { RemoveHost } from './RemoveHost';

/** The engines that apps run on. */
export function Hosts() {
  const { t } = useWords();
  const { up } = useLink();
  const hosts = useHosts();
  const [adding, add] = useDisclosure(false);
  const [removing, remove] = useState<string | null>(null);
  const addButton = (
    <Button leftSection={<IconPlus size={17} aria-hidden />} disabled={!up} onClick={add.open}>
      {t.admin.addHost}
    </Button>
  );
  return (
    <div className="page">
      <Title text={t.shell.hosts} actions={addButton}>
        <span className="dim small">{t.admin.hostsHint}</span>
      </Title>
      <Await of={hosts} skeleton={3}>
        {(all) =>
          all.length === 0 ? (
            <Panel>
              <Empty title={t.admin.noHosts}>{t.admin.noHostsHint}</Empty>
            </Panel>
          ) : (
            all.map((host) => <HostPanel key={host.name} host={host} onRemove={() => remove(host.name)} />)
          )
        }
      </Await>
      <CoveragePanel />
      <AddHost opened={adding} onClose={add.close} />
      <RemoveHost name={removing} onClose={() => remove(null)} />
    </div>
  );
}
