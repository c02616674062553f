import { Button } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useLink } from '~/api/link';
import { usePolicies } from '~/api/queries';
import type { Policy } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Title } from '~/parts/Title';
import css from './Policies.module.css';
import { PolicyCard } from './PolicyCard';
import { PolicyEditor } from './PolicyEditor';
import { RemovePolicy } from './RemovePolicy';

const NEW: Policy = {
  name: '',
  every_seconds: 6 * 3600,
  consistency: 'pause',
  databases: 'auto',
  keep: { last: 4, hourly: 0, daily: 14, weekly: 8, monthly: 6 },
};

/** How often, how held, how long kept: by name. */
export function Policies() {
  const { t } = useWords();
  const { up } = useLink();
  const policies = usePolicies();
  const [editing, edit] = useState<Policy | null>(null);
  const [removing, remove] = useState<string | null>(null);
  return (
    <div className="page">
      <Title
        text={t.shell.policies}
        actions={
          <Button leftSection={<IconPlus size={17} aria-hidden />} disabled={!up} onClick={() => edit(NEW)}>
            {t.admin.newPolicy}
          </Button>
        }
      >
        <span className="dim small">{t.admin.policiesHint}</span>
      </Title>
      <Await of={policies} skeleton={3}>
        {(all) => (
          <div className={css.grid}>
            {all.toSorted((a, b) => a.policy.every_seconds - b.policy.every_seconds).map((view) => (
              <PolicyCard
                key={view.policy.name}
                view={view}
                onEdit={() => edit(view.policy)}
                onRemove={() => remove(view.policy.name)}
              />
            ))}
          </div>
        )}
      </Await>
      <PolicyEditor policy={editing} fresh={editing === NEW} onClose={() => edit(null)} />
      <RemovePolicy name={removing} onClose={() => remove(null)} />
    </div>
  );
}
