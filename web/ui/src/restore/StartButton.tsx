import { Checkbox } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconHistory } from '@tabler/icons-react';
import { useState } from 'react';
import { useStartRestore } from '~/api/actions';
import type { AppView, JobView, PlanView, RestoreRequest } from '~/api/types';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Confirm } from '~/parts/Confirm';
import { Failure } from '~/parts/Problems';
import css from './restore.module.css';

interface Props {
  app: AppView;
  request: RestoreRequest | null;
  plan: PlanView | undefined;
  onStarted: (job: JobView) => void;
}

/** Starts what the plan says; what destroys asks for the app's name first. */
export function StartButton({ app, request, plan, onStarted }: Props) {
  const { t } = useWords();
  const restore = useStartRestore();
  const [asking, ask] = useDisclosure(false);
  const [lose, setLose] = useState(false);
  const kind = request?.target.kind ?? 'beside';
  const away = kind === 'host';
  const ready = request !== null && plan !== undefined && plan.conflicts.length === 0;
  const start = (confirmed: boolean) => {
    if (!request) return;
    restore.mutate({ ...request, confirmed, lose_uncaptured: confirmed && lose }, { onSuccess: onStarted });
  };
  return (
    <>
      {restore.isError && !asking && <Failure error={restore.error} />}
      <div className={css.foot}>
        <code className="dim" aria-label={plan && `${t.restore.command}: ${plan.command}`}>
          {plan?.command}
        </code>
        <ChangeButton
          variant="filled"
          size="md"
          leftSection={<IconHistory size={18} aria-hidden />}
          disabled={!ready}
          loading={restore.isPending}
          onClick={() => (plan?.destructive ? ask.open() : start(false))}
        >
          {t.restore.start[kind]}
        </ChangeButton>
      </div>
      <Confirm
        opened={asking}
        onClose={ask.close}
        title={away ? t.restore.confirmHost(app.name) : t.restore.confirmTitle(app.name)}
        act={t.restore.start[kind]}
        word={app.name}
        busy={restore.isPending}
        error={restore.error}
        onConfirm={() => start(true)}
      >
        <p>{away ? t.restore.confirmHostHint : t.restore.confirmHint(app.name)}</p>
        <Checkbox
          label={t.restore.loseUncaptured}
          description={t.restore.loseUncapturedHint}
          checked={lose}
          onChange={(event) => setLose(event.currentTarget.checked)}
        />
      </Confirm>
    </>
  );
}
