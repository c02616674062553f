import { PasswordInput, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState, type FormEvent } from 'react';
import { useLogin } from '~/api/actions';
import { useWords } from '~/i18n';
import { Entry } from '~/layout/Entry';
import { ChangeButton } from '~/parts/ChangeButton';
import { Panel } from '~/parts/Panel';
import { Failure } from '~/parts/Problems';
import { Title } from '~/parts/Title';

export function Login() {
  const { t } = useWords();
  const client = useQueryClient();
  const navigate = useNavigate();
  const login = useLogin();
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const submit = (event: FormEvent) => {
    event.preventDefault();
    login.mutate(
      { name: name.trim(), password },
      {
        onSuccess: () => {
          client.clear();
          void navigate({ to: '/' });
        },
      },
    );
  };
  return (
    <Entry>
      <Title text={t.entry.loginTitle} />
      <Panel>
        <form onSubmit={submit} className="page">
          <TextInput
            label={t.entry.user}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            required
          />
          <PasswordInput
            label={t.common.password}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            autoComplete="current-password"
            required
          />
          {login.isError && <Failure error={login.error} />}
          <ChangeButton type="submit" variant="filled" loading={login.isPending}>
            {t.entry.login}
          </ChangeButton>
        </form>
      </Panel>
    </Entry>
  );
}
