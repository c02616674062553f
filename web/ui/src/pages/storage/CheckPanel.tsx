import { Checkbox } from '@mantine/core';
import { useState } from 'react';
import { useCheck } from '~/api/actions';
import { useCheckReport } from '~/api/queries';
import type { CheckView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { ChangeButton } from '~/parts/ChangeButton';
import { Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { ProblemList } from '~/parts/Problems';
import { useToasts } from '~/parts/Toasts';
import { CheckDaily } from './CheckDaily';

/** Is everything there and whole? */
export function CheckPanel() {
  const { t } = useWords();
  const report = useCheckReport();
  const check = useCheck();
  const { done, failed } = useToasts();
  const [deep, setDeep] = useState(false);
  const start = () => check.mutate(deep, { onSuccess: () => done(t.storage.checkStarted), onError: failed });
  return (
    <Panel title={t.storage.check} aside={t.storage.checkHint}>
      <div className="page">
        <Await of={report} skeleton={1}>
          {(found) => (found ? <Report report={found} /> : <p className="dim small">{t.storage.checkNone}</p>)}
        </Await>
        <div className="row" style={{ gap: '1rem' }}>
          <ChangeButton loading={check.isPending} onClick={start}>
            {t.storage.checkStart}
          </ChangeButton>
          <Checkbox
            label={t.storage.checkDeep}
            checked={deep}
            onChange={(event) => setDeep(event.currentTarget.checked)}
          />
        </div>
        <CheckDaily />
      </div>
    </Panel>
  );
}

function Report({ report }: { report: CheckView }) {
  const { t, f } = useWords();
  const wrong = report.problems.filter((problem) => problem.severity !== 'note').length;
  const line = t.storage.checkLine(
    f.number(report.snapshots),
    f.number(report.packs_cache),
    f.number(report.packs_bucket),
    f.bytes(report.bytes_read),
  );
  return (
    <div className="stack">
      <Notice
        tone={wrong === 0 ? 'good' : 'bad'}
        title={wrong === 0 ? t.storage.checkGood : t.storage.checkBad(f.number(wrong), wrong)}
      >
        {line}
        {report.healed > 0 && `, ${t.storage.healed(f.number(report.healed))}`}
      </Notice>
      {report.problems.length > 0 && <ProblemList problems={report.problems} />}
    </div>
  );
}
