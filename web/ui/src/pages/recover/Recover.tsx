import { Button, PasswordInput, Textarea, TextInput } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useState, type FormEvent } from 'react';
import { useRecover } from '~/api/actions';
import { useJob } from '~/api/queries';
import type { JobView } from '~/api/types';
import { useWords } from '~/i18n';
import { jobTone } from '~/lib/apps';
import { isFinal } from '~/lib/jobs';
import { ChangeButton } from '~/parts/ChangeButton';
import { JobLine } from '~/parts/jobs/JobLine';
import { Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Failure, ProblemList } from '~/parts/Problems';
import { Title } from '~/parts/Title';

/** A lost appliance comes back from its bucket and the kit: three fields. */
export function Recover() {
  const { t } = useWords();
  const [job, setJob] = useState<JobView | null>(null);
  return (
    <div className="page">
      <Title text={t.entry.recover}>
        <span className="dim small">{t.entry.recoverHint}</span>
      </Title>
      <Panel title={job ? t.entry.recoverRuns : t.entry.kit}>
        {job ? <Running first={job} /> : <RecoverForm onStarted={setJob} />}
      </Panel>
    </div>
  );
}

function RecoverForm({ onStarted }: { onStarted: (job: JobView) => void }) {
  const { t } = useWords();
  const recover = useRecover();
  const [kit, setKit] = useState('');
  const [url, setUrl] = useState('');
  const [access, setAccess] = useState('');
  const [secret, setSecret] = useState('');
  // The kit names its bucket: one field less to fill in.
  const bucket = url || (kit.match(/(?:s3|file):\/\/[^\s']+/)?.[0] ?? '');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const keys = { access_key: access.trim() || null, secret_key: secret || null };
    recover.mutate({ kit, bucket: { url: bucket.trim(), ...keys, ca: null } }, { onSuccess: onStarted });
  };
  return (
    <form onSubmit={submit} className="page" style={{ maxWidth: '38rem' }}>
      <Textarea
        label={t.entry.kitPaste}
        description={t.entry.kitPasteHint}
        autosize
        minRows={6}
        maxRows={14}
        spellCheck={false}
        classNames={{ input: 'mono' }}
        value={kit}
        onChange={(event) => setKit(event.currentTarget.value)}
        required
      />
      <TextInput
        label={t.entry.bucketUrl}
        description={t.entry.bucketUrlHint}
        spellCheck={false}
        value={bucket}
        onChange={(event) => setUrl(event.currentTarget.value)}
        required
      />
      <TextInput
        label={t.entry.accessKey}
        autoComplete="off"
        value={access}
        onChange={(event) => setAccess(event.currentTarget.value)}
      />
      <PasswordInput
        label={t.entry.secretKey}
        autoComplete="new-password"
        value={secret}
        onChange={(event) => setSecret(event.currentTarget.value)}
      />
      {recover.isError && <Failure error={recover.error} />}
      <div>
        <ChangeButton type="submit" variant="filled" loading={recover.isPending}>
          {t.entry.recoverStart}
        </ChangeButton>
      </div>
    </form>
  );
}

function Running({ first }: { first: JobView }) {
  const { t } = useWords();
  const job = useJob(first.id).data ?? first;
  if (!isFinal(job.state)) return <JobLine job={job} />;
  return (
    <div className="page">
      <Notice tone={jobTone(job.state)} live title={job.state === 'done' ? t.entry.recoverDone : t.jobs.state[job.state]}>
        {job.summary}
      </Notice>
      {job.problems.length > 0 && <ProblemList problems={job.problems} />}
      <div>
        <Button renderRoot={(props) => <Link to="/" {...props} />}>{t.entry.recoverLogin}</Button>
      </div>
    </div>
  );
}
