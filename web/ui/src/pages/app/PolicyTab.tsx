import { useState } from 'react';
import { useAssign } from '~/api/actions';
import { useLink } from '~/api/link';
import { usePolicies } from '~/api/queries';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { useNow } from '~/lib/now';
import { Await } from '~/parts/Await';
import { Choice } from '~/parts/Choice';
import { Panel } from '~/parts/Panel';
import { useKeepLine } from '~/parts/useKeepLine';
import { useToasts } from '~/parts/Toasts';
import { HooksPanel } from './HooksPanel';

const NO_POLICY = '';

/** Which policy covers the app, and what it runs around its backups. */
export function PolicyTab({ app }: { app: AppView }) {
  const { t, f, interval } = useWords();
  const now = useNow();
  const { up } = useLink();
  const policies = usePolicies();
  const assign = useAssign();
  const { done, failed } = useToasts();
  const keepLine = useKeepLine();
  // Shown at once; taken back if the appliance refuses.
  const [chosen, setChosen] = useState<string | null>(null);
  const choose = (name: string) => {
    setChosen(name);
    assign.mutate(
      { host: app.host, name: app.name, policy: name === NO_POLICY ? null : name },
      {
        onSuccess: () => done(t.apps.assigned),
        onError: (error) => {
          setChosen(null);
          failed(error);
        },
      },
    );
  };
  return (
    <div className="page">
      <Panel title={t.apps.policyNow} aside={app.next_backup && t.apps.next(f.ago(app.next_backup, now))}>
        <p className="dim small" style={{ marginBottom: '0.9rem' }}>
          {t.apps.policyHint}
        </p>
        <Await of={policies} skeleton={4}>
          {(all) => (
            <Choice
              label={t.apps.policyNow}
              quiet
              value={chosen ?? app.policy ?? NO_POLICY}
              onChange={choose}
              options={[
                ...all.map(({ policy }) => ({
                  value: policy.name,
                  label: `${policy.name} · ${interval(policy.every_seconds)}`,
                  hint: `${t.common.consistency[policy.consistency]} · ${keepLine(policy.keep)}`,
                  disabled: !up || assign.isPending,
                })),
                { value: NO_POLICY, label: t.apps.policyNone, disabled: !up || assign.isPending },
              ]}
            />
          )}
        </Await>
      </Panel>
      <HooksPanel app={app} />
    </div>
  );
}
