import { PasswordInput } from '@mantine/core';
import { useState, type FormEvent, type ReactNode } from 'react';
import { useKit } from '~/api/actions';
import type { KitView } from '~/api/types';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Failure } from '~/parts/Problems';

/** The kit is shown only to who knows the password, asked again. */
export function KitGate({ children }: { children: (kit: KitView) => ReactNode }) {
  const { t } = useWords();
  const kit = useKit();
  const [password, setPassword] = useState('');
  if (kit.data) return <>{children(kit.data)}</>;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    kit.mutate(password);
    setPassword('');
  };
  return (
    <form onSubmit={submit} className="page">
      <PasswordInput
        label={t.admin.kitPassword}
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
        autoComplete="current-password"
        required
        maw={360}
      />
      {kit.isError && <Failure error={kit.error} />}
      <div>
        <ChangeButton type="submit" loading={kit.isPending}>
          {t.admin.kitGet}
        </ChangeButton>
      </div>
    </form>
  );
}
