import { ActionIcon } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconPlayerStop } from '@tabler/icons-react';
import { useCancelJob } from '~/api/actions';
import { useLink } from '~/api/link';
import type { JobView } from '~/api/types';
import { useWords } from '~/i18n';
import { Confirm } from '~/parts/Confirm';
import { jobName } from './names';

/** Stops a job after asking once. */
export function StopJob({ job }: { job: JobView }) {
  const words = useWords();
  const { up } = useLink();
  const cancel = useCancelJob();
  const [asking, ask] = useDisclosure(false);
  const name = jobName(job, words);
  const { t } = words;
  return (
    <>
      <ActionIcon aria-label={t.jobs.stop(name)} disabled={!up || cancel.isPending} onClick={ask.open}>
        <IconPlayerStop size={16} aria-hidden />
      </ActionIcon>
      <Confirm
        opened={asking}
        onClose={ask.close}
        title={t.jobs.stopTitle(name)}
        act={t.jobs.stopNow}
        busy={cancel.isPending}
        error={cancel.error}
        onConfirm={() => cancel.mutate(job.id, { onSuccess: ask.close })}
      >
        {t.jobs.stopHint}
      </Confirm>
    </>
  );
}
