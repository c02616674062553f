import { Button, Modal, NumberInput, Select, TextInput } from '@mantine/core';
import { useState, type FormEvent } from 'react';
import { useSavePolicy } from '~/api/actions';
import type { Consistency, Databases, Policy } from '~/api/types';
import { useWords } from '~/i18n';
import { every } from '~/lib/format';
import { ChangeButton } from '~/parts/ChangeButton';
import { Choice } from '~/parts/Choice';
import { Failure } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';
import { KEEP_RULES } from '~/parts/useKeepLine';
import css from './Policies.module.css';

const UNIT_SECONDS = { minute: 60, hour: 3600, day: 86_400, week: 604_800 } as const;
type Unit = keyof typeof UNIT_SECONDS;
const HOLDS: Consistency[] = ['pause', 'stop', 'none'];
const CARES: Databases[] = ['auto', 'dump', 'off'];
/** The appliance's own rule for names. */
const NAME = /^[a-z0-9][a-z0-9-]{0,39}$/;

interface Props {
  policy: Policy | null;
  fresh: boolean;
  onClose: () => void;
}

export function PolicyEditor({ policy, fresh, onClose }: Props) {
  const { t } = useWords();
  const title = fresh ? t.admin.newPolicy : t.admin.editPolicy(policy?.name ?? '');
  return (
    <Modal
      opened={policy !== null}
      onClose={onClose}
      title={title}
      size="lg"
      closeButtonProps={{ 'aria-label': t.common.close }}
    >
      {policy && <Form key={policy.name} first={policy} fresh={fresh} onClose={onClose} />}
    </Modal>
  );
}

function Form({ first, fresh, onClose }: { first: Policy; fresh: boolean; onClose: () => void }) {
  const { t } = useWords();
  const save = useSavePolicy();
  const { done } = useToasts();
  const [policy, setPolicy] = useState(first);
  const change = (part: Partial<Policy>) => setPolicy({ ...policy, ...part });
  const valid = NAME.test(policy.name);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!valid) return;
    save.mutate(policy, {
      onSuccess: () => {
        done(t.admin.policySaved);
        onClose();
      },
    });
  };
  return (
    <form onSubmit={submit} className="page">
      {fresh && (
        <TextInput
          label={t.common.name}
          description={t.admin.nameRule}
          value={policy.name}
          onChange={(event) => change({ name: event.currentTarget.value })}
          error={policy.name !== '' && !valid && t.admin.nameRule}
          autoComplete="off"
          required
          data-autofocus
        />
      )}
      <Interval seconds={policy.every_seconds} onChange={(every_seconds) => change({ every_seconds })} />
      <Choice
        label={t.admin.hold}
        value={policy.consistency}
        onChange={(consistency) => change({ consistency })}
        options={HOLDS.map((hold) => ({
          value: hold,
          label: t.common.consistency[hold],
          hint: t.common.consistencyHint[hold],
        }))}
      />
      <Choice
        label={t.admin.databases}
        value={policy.databases}
        onChange={(databases) => change({ databases })}
        options={CARES.map((care) => ({
          value: care,
          label: t.common.databases[care],
          hint: t.common.databasesHint[care],
        }))}
      />
      <Keep keep={policy.keep} onChange={(keep) => change({ keep })} />
      {save.isError && <Failure error={save.error} />}
      <div className="row" style={{ justifyContent: 'flex-end' }}>
        <Button onClick={onClose}>{t.common.cancel}</Button>
        <ChangeButton type="submit" variant="filled" disabled={!valid} loading={save.isPending}>
          {t.common.save}
        </ChangeButton>
      </div>
    </form>
  );
}

function Interval({ seconds, onChange }: { seconds: number; onChange: (seconds: number) => void }) {
  const { t } = useWords();
  const { count, unit } = every(seconds);
  const [chosen, choose] = useState<Unit>(unit);
  const amount = seconds / UNIT_SECONDS[chosen];
  return (
    <div className="row" style={{ alignItems: 'flex-end' }}>
      <NumberInput
        label={t.admin.everyLabel}
        value={Number.isInteger(amount) ? amount : count}
        onChange={(value) => Number(value) > 0 && onChange(Number(value) * UNIT_SECONDS[chosen])}
        min={1}
        max={999}
        allowDecimal={false}
        w={110}
      />
      <Select
        aria-label={t.admin.unitLabel}
        value={chosen}
        data={Object.keys(UNIT_SECONDS).map((value) => ({ value, label: t.admin.unit[value as Unit] }))}
        onChange={(next) => {
          if (!next) return;
          choose(next as Unit);
          onChange(Math.max(1, Math.round(amount)) * UNIT_SECONDS[next as Unit]);
        }}
        allowDeselect={false}
        w={130}
      />
    </div>
  );
}

function Keep({ keep, onChange }: { keep: Policy['keep']; onChange: (keep: Policy['keep']) => void }) {
  const { t } = useWords();
  return (
    <fieldset style={{ border: 0, padding: 0, margin: 0 }}>
      <legend className="small" style={{ fontWeight: 600, padding: 0 }}>
        {t.admin.keep}
      </legend>
      <p className="dim small" style={{ margin: '0.2rem 0 0.6rem' }}>
        {t.admin.keepHint}
      </p>
      <div className={css.numbers}>
        {KEEP_RULES.map((rule) => (
          <NumberInput
            key={rule}
            label={t.admin.keepRule[rule]}
            value={keep[rule]}
            onChange={(value) => onChange({ ...keep, [rule]: Math.max(0, Number(value) || 0) })}
            min={0}
            max={9999}
            allowDecimal={false}
          />
        ))}
      </div>
    </fieldset>
  );
}
