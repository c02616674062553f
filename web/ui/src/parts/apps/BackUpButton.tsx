import type { ButtonProps } from '@mantine/core';
import type { ReactNode } from 'react';
import { useBackUp } from '~/api/actions';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { useToasts } from '~/parts/Toasts';

interface Props extends ButtonProps {
  apps: string[];
  children: ReactNode;
}

/** Starts backups and says so. */
export function BackUpButton({ apps, children, disabled, ...rest }: Props) {
  const { t } = useWords();
  const backUp = useBackUp();
  const { done, failed } = useToasts();
  const start = () => backUp.mutate(apps, { onSuccess: () => done(t.apps.started), onError: failed });
  return (
    <ChangeButton {...rest} disabled={disabled || apps.length === 0} loading={backUp.isPending} onClick={start}>
      {children}
    </ChangeButton>
  );
}
