import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useSetup } from '~/api/queries';
import type { SetupView } from '~/api/types';
import { useWords } from '~/i18n';
import { Entry } from '~/layout/Entry';
import { Await } from '~/parts/Await';
import { Panel } from '~/parts/Panel';
import { Title } from '~/parts/Title';
import { AccountStep } from './AccountStep';
import { AppsStep } from './AppsStep';
import { BucketStep } from './BucketStep';
import { KitStep } from './KitStep';

// The bucket comes before the kit: the kit names it.
const STEPS = ['account', 'bucket', 'kit', 'apps'] as const;

/** First run: account, bucket, recovery kit, first backups. */
export function Setup() {
  const setup = useSetup();
  return (
    <Entry>
      <Await of={setup}>{(first) => <Steps first={first} />}</Await>
    </Entry>
  );
}

function Steps({ first }: { first: SetupView }) {
  const { t, f } = useWords();
  const navigate = useNavigate();
  const [place, setPlace] = useState(0);
  const [password, setPassword] = useState('');
  const next = () => setPlace(place + 1);
  const finish = () => void navigate({ to: '/' });
  const step = STEPS[place] ?? 'account';
  const titles = { account: t.entry.admin, bucket: t.entry.bucket, kit: t.entry.kit, apps: t.entry.found };
  return (
    <>
      <Title text={t.entry.setupTitle}>
        <span className="dim small">{t.entry.setupIntro}</span>
      </Title>
      <Panel title={titles[step]} aside={t.entry.step(f.number(place + 1), f.number(STEPS.length))}>
        {step === 'account' && (
          <AccountStep
            done={first.done}
            onDone={(chosen) => {
              setPassword(chosen);
              next();
            }}
          />
        )}
        {step === 'bucket' && <BucketStep has={first.has_bucket} onDone={next} />}
        {step === 'kit' && <KitStep password={password} onDone={next} />}
        {step === 'apps' && <AppsStep onDone={finish} />}
      </Panel>
      {step === 'bucket' && !first.has_repository && (
        <Link to="/recover" className="small">
          {t.entry.recoverInstead}
        </Link>
      )}
    </>
  );
}
