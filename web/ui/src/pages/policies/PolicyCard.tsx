import { Button } from '@mantine/core';
import { useLink } from '~/api/link';
import type { PolicyView } from '~/api/types';
import { useWords } from '~/i18n';
import { subjectParts } from '~/lib/jobs';
import { Panel } from '~/parts/Panel';
import { useKeepLine } from '~/parts/useKeepLine';
import css from './Policies.module.css';

interface Props {
  view: PolicyView;
  onEdit: () => void;
  onRemove: () => void;
}

export function PolicyCard({ view: { policy, apps }, onEdit, onRemove }: Props) {
  const { t, f, interval } = useWords();
  const { up } = useLink();
  const keepLine = useKeepLine();
  const names = apps.map((id) => subjectParts(id)?.app ?? id);
  return (
    <Panel title={<span className={css.name}>{policy.name}</span>} aside={interval(policy.every_seconds)}>
      <dl className={css.facts}>
        <dt>{t.admin.hold}</dt>
        <dd>{t.common.consistency[policy.consistency]}</dd>
        <dt>{t.admin.databases}</dt>
        <dd>{t.common.databases[policy.databases]}</dd>
        <dt>{t.admin.keep}</dt>
        <dd>{keepLine(policy.keep)}</dd>
        <dt>{t.admin.covers}</dt>
        <dd>{names.length > 0 ? f.list(names) : <span className="dim">{t.admin.coversNone}</span>}</dd>
      </dl>
      <div className="row">
        <Button size="xs" disabled={!up} onClick={onEdit} aria-label={t.admin.editPolicy(policy.name)}>
          {t.common.edit}
        </Button>
        <Button
          size="xs"
          variant="subtle"
          color="gray"
          disabled={!up}
          onClick={onRemove}
          aria-label={t.admin.removePolicy(policy.name)}
        >
          {t.common.remove}
        </Button>
      </div>
    </Panel>
  );
}
