import { useStatus } from '~/api/queries';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Facts } from '~/parts/Facts';
import { Panel } from '~/parts/Panel';
import { Title } from '~/parts/Title';
import { DoctorPanel } from './DoctorPanel';
import { KitPanel } from './KitPanel';
import { KeysPanel } from './keys/KeysPanel';
import { LookPanel } from './LookPanel';
import { SessionPanel } from './SessionPanel';

export function Settings() {
  const { t } = useWords();
  const status = useStatus();
  return (
    <div className="page">
      <Title text={t.shell.settings} />
      <Await of={status} skeleton={1}>
        {({ kit_confirmed }) => <KitPanel confirmed={kit_confirmed} />}
      </Await>
      <KeysPanel />
      <LookPanel />
      <DoctorPanel />
      <Panel title={t.admin.appliance}>
        <Await of={status} skeleton={1}>
          {({ appliance, version, repository, enrolment }) => (
            <Facts
              facts={[
                [t.common.name, appliance],
                [t.admin.version, version],
                [t.admin.repository, <code key="repository">{repository}</code>],
                [t.admin.provider, enrolment && `${enrolment.provider}, ${enrolment.tenant}`],
              ]}
            />
          )}
        </Await>
      </Panel>
      <SessionPanel />
    </div>
  );
}
