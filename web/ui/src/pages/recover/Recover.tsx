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
import { Choice } from '~/parts/Choice';
import { JobLine } from '~/parts/jobs/JobLine';
import { Notice } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Failure, ProblemList } from '~/parts/Problems';
import { Title } from '~/parts/Title';

const WAYS = ['kit', 'passphrase', 'escrow'] as const;
type Way = (typeof WAYS)[number];

/** A lost appliance comes back from its bucket and the kit, or another key to it. */
export function Recover() {
  const { t } = useWords();
  const [job, setJob] = useState<JobView | null>(null);
  return (
    <div className="page">
      <Title text={t.entry.recover}>
        <span className="dim small">{t.entry.recoverHint}</span>
      </Title>
      <Panel title={job ? t.entry.recoverRuns : t.entry.recover}>
        {job ? <Running first={job} /> : <RecoverForm onStarted={setJob} />}
      </Panel>
    </div>
  );
}

function RecoverForm({ onStarted }: { onStarted: (job: JobView) => void }) {
  const { t } = useWords();
  const recover = useRecover();
  const [way, setWay] = useState<Way>('kit');
  const [kit, setKit] = useState('');
  const [passphrase, setPassphrase] = useState('');
  const [escrow, setEscrow] = useState('');
  const [url, setUrl] = useState('');
  const [access, setAccess] = useState('');
  const [secret, setSecret] = useState('');
  // The kit names its bucket: one field less to fill in.
  const bucket = url || (kit.match(/(?:s3|file):\/\/[^\s']+/)?.[0] ?? '');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const keys = { access_key: access.trim() || null, secret_key: secret || null };
    const key = {
      kit: way === 'kit' ? kit : null,
      passphrase: way === 'passphrase' ? passphrase : null,
      escrow_key: way === 'escrow' ? escrow : null,
    };
    recover.mutate({ ...key, bucket: { url: bucket.trim(), ...keys, ca: null } }, { onSuccess: onStarted });
  };
  return (
    <form onSubmit={submit} className="page" style={{ maxWidth: '38rem' }}>
      <Choice
        label={t.entry.recoverWith}
        options={WAYS.map((value) => ({ value, label: t.entry.recoverWays[value] }))}
        value={way}
        onChange={setWay}
        columns={3}
      />
      {way === 'kit' && (
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
      )}
      {way === 'passphrase' && (
        <PasswordInput
          label={t.entry.recoverPassphrase}
          description={t.entry.recoverPassphraseHint}
          autoComplete="off"
          value={passphrase}
          onChange={(event) => setPassphrase(event.currentTarget.value)}
          required
        />
      )}
      {way === 'escrow' && (
        <Textarea
          label={t.entry.recoverEscrow}
          autosize
          minRows={3}
          maxRows={6}
          spellCheck={false}
          classNames={{ input: 'mono' }}
          value={escrow}
          onChange={(event) => setEscrow(event.currentTarget.value)}
          required
        />
      )}
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
