import { Link } from '@tanstack/react-router';
import { useCoverage } from '~/api/queries';
import type { AppCoverage, CoverageView } from '~/api/types';
import { useWords } from '~/i18n';
import { subjectParts } from '~/lib/jobs';
import { Await } from '~/parts/Await';
import { DataTable } from '~/parts/DataTable';
import { Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Pill } from '~/parts/Pill';
import { ProblemList } from '~/parts/Problems';

/** Everything on every host that no backup has, and why: nobody should find out in an emergency. */
export function CoveragePanel() {
  const { t } = useWords();
  const coverage = useCoverage();
  return (
    <Panel title={t.admin.coverage} aside={t.admin.coverageHint}>
      <Await of={coverage} skeleton={3}>
        {(view) => <Coverage view={view} />}
      </Await>
    </Panel>
  );
}

/** An app that somebody should look at. */
function isOpen(app: AppCoverage) {
  return app.state !== 'covered' || app.gaps.length > 0;
}

function Coverage({ view }: { view: CoverageView }) {
  const { t, f } = useWords();
  const silent = view.hosts.filter((host) => host.error !== null);
  const apps = view.hosts.flatMap((host) => host.apps);
  const open = apps.filter(isOpen);
  const gaps = [...open.flatMap((app) => app.gaps), ...view.hosts.flatMap((host) => host.gaps)];
  return (
    <div className="page">
      {silent.map((host) => (
        <Notice key={host.host} tone="bad" title={t.admin.coverageSilent(host.host)}>
          {host.error}
        </Notice>
      ))}
      {open.length === 0 && gaps.length === 0 ? (
        silent.length === 0 && <Notice tone="good" title={t.admin.coverageWhole(f.number(apps.length))} />
      ) : (
        <>
          {open.length > 0 && (
            <DataTable label={t.admin.coverage} heads={[t.common.name, t.shell.policies, t.admin.coverageLeft]}>
              {open.map((app) => (
                <Row key={app.id} app={app} />
              ))}
            </DataTable>
          )}
          {gaps.length > 0 && <ProblemList problems={gaps} />}
        </>
      )}
    </div>
  );
}

function Row({ app }: { app: AppCoverage }) {
  const { t, f } = useWords();
  const parts = subjectParts(app.id);
  const tone = { covered: 'good', nobody: 'bad', excluded: 'calm', unknown_policy: 'bad' } as const;
  return (
    <tr>
      <td>
        {parts ? (
          <Link to="/apps/$host/$app" params={{ host: parts.host, app: parts.app }} search={{ tab: 'policy' }}>
            {app.id}
          </Link>
        ) : (
          app.id
        )}
      </td>
      <td>
        <Pill tone={tone[app.state]}>{t.admin.cover[app.state](app.policy ?? '')}</Pill>
      </td>
      <td className="numbers">{f.number(app.gaps.length)}</td>
    </tr>
  );
}
