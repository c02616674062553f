import { IconArrowsShuffle, IconCloud, IconDatabase } from '@tabler/icons-react';
import type { PlanView, SnapshotView, Source } from '~/api/types';
import { useWords } from '~/i18n';
import { Choice, type Option } from '~/parts/Choice';

interface Props {
  snapshot: SnapshotView;
  plan: PlanView | undefined;
  value: Source;
  onChange: (source: Source) => void;
}

/** Which tier gives the bytes, with time and egress. The nearest comes first and fills gaps from the other. */
export function FromChoice({ snapshot, plan, value, onChange }: Props) {
  const { t, f } = useWords();
  const about = (seconds: number | null | undefined) => (seconds ? t.restore.about(f.duration(seconds)) : null);
  const egress = plan && plan.bytes_from_bucket > 0 ? t.restore.egress(f.bytes(plan.bytes_from_bucket)) : null;
  const words = (...facts: (string | null)[]) => facts.filter(Boolean).join(', ');
  const cloud: Option<Source> = {
    value: 'bucket',
    label: t.restore.bucket,
    hint:
      snapshot.state.cloud === 'present'
        ? words(about(plan?.seconds_from_bucket), value === 'bucket' ? egress : null)
        : t.apps.cloud[snapshot.state.cloud],
    icon: <IconCloud size={19} color="var(--hf-cloud)" aria-hidden />,
    disabled: snapshot.state.cloud !== 'present',
  };
  const near: Record<typeof snapshot.state.local, Option<Source>> = {
    present: {
      value: 'auto',
      label: t.restore.cache,
      hint: words(about(plan?.seconds_from_cache)),
      icon: <IconDatabase size={19} color="var(--hf-local)" aria-hidden />,
    },
    partial: {
      value: 'auto',
      label: t.restore.auto,
      hint: words(t.restore.autoHint, value === 'auto' ? egress : null),
      icon: <IconArrowsShuffle size={19} aria-hidden />,
    },
    absent: { ...cloud, value: 'auto', hint: words(about(plan?.seconds_from_bucket), egress), disabled: false },
  };
  const first = near[snapshot.state.local];
  const options = snapshot.state.local === 'absent' ? [first] : [first, cloud];
  return <Choice label={t.restore.tier} quiet columns={2} value={value} onChange={onChange} options={options} />;
}
