import { NativeSelect } from '@mantine/core';
import { useVerificationRule } from '~/api/actions';
import { useLink } from '~/api/link';
import { useVerification } from '~/api/queries';
import type { VerificationView } from '~/api/types';
import { useWords } from '~/i18n';
import { sharesWith } from '~/lib/verification';
import { useNow } from '~/lib/now';
import { Await } from '~/parts/Await';
import { Facts } from '~/parts/Facts';
import { useToasts } from '~/parts/Toasts';

/** How much is verified each day without anybody asking, and what that reads. */
export function CheckDaily() {
  const view = useVerification();
  return (
    <Await of={view} skeleton={1}>
      {(data) => <Daily view={data} />}
    </Await>
  );
}

function Daily({ view }: { view: VerificationView }) {
  const { t, f } = useWords();
  const { up } = useLink();
  const now = useNow();
  const decide = useVerificationRule();
  const { done, failed } = useToasts();
  const share = view.rule.daily_percent;
  const label = (percent: number) =>
    percent === 0 ? t.storage.dailyNone : t.storage.dailyShare(f.percent(percent / 100));
  const choose = (percent: number) =>
    decide.mutate(percent, { onSuccess: () => done(t.storage.dailySaved), onError: failed });
  return (
    <div className="stack">
      <NativeSelect
        label={t.storage.daily}
        description={t.storage.dailyHint}
        data={sharesWith(share).map((percent) => ({ value: String(percent), label: label(percent) }))}
        value={String(share)}
        disabled={!up || decide.isPending}
        onChange={(event) => choose(Number(event.currentTarget.value))}
      />
      {share > 0 && (
        <p className="dim small">{t.storage.dailyReads(f.bytes(view.cache_bytes), f.bytes(view.bucket_bytes))}</p>
      )}
      <Facts
        facts={[
          [t.storage.dailyLast, view.last ? f.ago(view.last, now) : t.common.never],
          [t.storage.dailyNext, view.next && f.shortMoment(view.next)],
        ]}
      />
    </div>
  );
}
