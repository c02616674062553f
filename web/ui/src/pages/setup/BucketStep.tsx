import { Button } from '@mantine/core';
import { IconCloud, IconFileCertificate } from '@tabler/icons-react';
import { useState } from 'react';
import { useWords } from '~/i18n';
import { Choice } from '~/parts/Choice';
import { BucketForm } from '~/parts/forms/BucketForm';
import { BundleForm } from '~/parts/forms/BundleForm';
import { Notice } from '~/parts/Notice';

/** A copy off site: own S3 bucket, a provider's bundle, or later. */
export function BucketStep({ has, onDone }: { has: boolean; onDone: () => void }) {
  const { t } = useWords();
  const [kind, setKind] = useState<'s3' | 'bundle'>('s3');
  if (has) {
    return (
      <div className="page">
        <Notice tone="good" title={t.entry.bucketHas} />
        <div>
          <Button variant="filled" onClick={onDone}>
            {t.common.next}
          </Button>
        </div>
      </div>
    );
  }
  return (
    <div className="page">
      <p className="small dim">{t.entry.bucketHint}</p>
      <Choice
        label={t.entry.bucketHow}
        quiet
        columns={2}
        value={kind}
        onChange={setKind}
        options={[
          { value: 's3', label: t.entry.bucketS3, icon: <IconCloud size={19} aria-hidden /> },
          { value: 'bundle', label: t.entry.bucketBundle, icon: <IconFileCertificate size={19} aria-hidden /> },
        ]}
      />
      {kind === 's3' ? <BucketForm onDone={onDone} /> : <BundleForm onDone={onDone} />}
      <div>
        <Button onClick={onDone}>{t.entry.bucketSkip}</Button>
      </div>
    </div>
  );
}
