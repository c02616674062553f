import { Button } from '@mantine/core';
import { useState } from 'react';
import { useDoctor } from '~/api/queries';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';

/** What the appliance needs, tried now. */
export function DoctorPanel() {
  const { t } = useWords();
  const [asked, ask] = useState(false);
  const doctor = useDoctor(asked);
  const run = () => (asked ? void doctor.refetch() : ask(true));
  return (
    <Panel title={t.admin.doctor} aside={t.admin.doctorHint}>
      <div className="page">
        {asked && (
          <Await of={doctor}>
            {(lines) => (
              <ul className="stack small" style={{ listStyle: 'none', margin: 0, padding: 0 }}>
                {lines.map((line) => (
                  <li key={line.test} className="row">
                    <Pill tone={line.ok ? 'good' : 'bad'}>{line.ok ? t.admin.works : t.admin.fails}</Pill>
                    <strong>{line.test}</strong>
                    <span className="dim">{line.detail}</span>
                  </li>
                ))}
              </ul>
            )}
          </Await>
        )}
        <div>
          <Button loading={doctor.isFetching} onClick={run}>
            {t.admin.doctorRun}
          </Button>
        </div>
      </div>
    </Panel>
  );
}
