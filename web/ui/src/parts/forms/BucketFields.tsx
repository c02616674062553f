import { PasswordInput, Textarea, TextInput } from '@mantine/core';
import type { BucketRequest } from '~/api/types';
import { useWords } from '~/i18n';
import { bucketUrl } from '~/lib/bucket';

export interface BucketDraft {
  endpoint: string;
  bucket: string;
  prefix: string;
  region: string;
  accessKey: string;
  secretKey: string;
  ca: string;
  sessionToken: string;
  proxy: string;
  proxyPassword: string;
  storageClass: string;
  leaveBehind?: boolean;
}

export const EMPTY_BUCKET: BucketDraft = {
  endpoint: '',
  bucket: '',
  prefix: '',
  region: '',
  accessKey: '',
  secretKey: '',
  ca: '',
  sessionToken: '',
  proxy: '',
  proxyPassword: '',
  storageClass: '',
};

export const bucketRequest = (draft: BucketDraft): BucketRequest => ({
  url: bucketUrl(draft),
  access_key: draft.accessKey.trim() || null,
  secret_key: draft.secretKey || null,
  session_token: draft.sessionToken.trim() || null,
  ca: draft.ca.trim() || null,
  proxy_password: draft.proxyPassword || null,
  leave_behind: draft.leaveBehind ?? false,
});

interface Props {
  value: BucketDraft;
  onChange: (draft: BucketDraft) => void;
}

/** Where an S3 bucket is and how to get in. */
export function BucketFields({ value, onChange }: Props) {
  const { t } = useWords();
  const field = (name: Exclude<keyof BucketDraft, 'leaveBehind'>) => ({
    value: value[name],
    onChange: (event: { currentTarget: { value: string } }) => onChange({ ...value, [name]: event.currentTarget.value }),
    autoComplete: 'off',
    spellCheck: false,
  });
  return (
    <>
      <TextInput label={t.entry.endpoint} description={t.entry.endpointHint} inputMode="url" {...field('endpoint')} />
      <TextInput label={t.entry.bucketName} required {...field('bucket')} />
      <TextInput label={t.entry.region} {...field('region')} />
      <TextInput label={t.entry.prefix} {...field('prefix')} />
      <TextInput label={t.entry.accessKey} required {...field('accessKey')} />
      <PasswordInput label={t.entry.secretKey} required {...field('secretKey')} autoComplete="new-password" />
      <details>
        <summary className="small dim">{t.entry.bucketMore}</summary>
        <PasswordInput
          label={t.entry.sessionToken}
          description={t.entry.sessionTokenHint}
          {...field('sessionToken')}
          autoComplete="new-password"
        />
        <TextInput label={t.entry.proxy} description={t.entry.proxyHint} inputMode="url" {...field('proxy')} />
        <PasswordInput label={t.entry.proxyPassword} {...field('proxyPassword')} autoComplete="new-password" />
        <TextInput label={t.entry.storageClass} description={t.entry.storageClassHint} {...field('storageClass')} />
      </details>
      <details>
        <summary className="small dim">{t.entry.ca}</summary>
        <Textarea aria-label={t.entry.ca} autosize minRows={3} maxRows={8} mt="xs" {...field('ca')} />
      </details>
    </>
  );
}
