import { Button, PasswordInput, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState, type FormEvent } from 'react';
import { useCreateAdmin } from '~/api/actions';
import { useWords } from '~/i18n';
import { ChangeButton } from '~/parts/ChangeButton';
import { Empty } from '~/parts/Notice';
import { Failure } from '~/parts/Problems';

const SHORTEST_PASSWORD = 12;

interface Props {
  /** Somebody has set up this appliance already. */
  done: boolean;
  onDone: (password: string) => void;
}

/** The first person: only who holds the setup link may be it. */
export function AccountStep({ done, onDone }: Props) {
  const { t } = useWords();
  const [token] = useState(() => decodeURIComponent(window.location.hash.slice(1)));
  if (done) {
    return (
      <Empty
        title={t.entry.loginTitle}
        action={<Button renderRoot={(props) => <Link to="/login" {...props} />}>{t.entry.login}</Button>}
      />
    );
  }
  if (!token) return <Empty title={t.entry.noToken}>{t.entry.noTokenHint}</Empty>;
  return <AccountForm token={token} onDone={onDone} />;
}

function AccountForm({ token, onDone }: { token: string; onDone: (password: string) => void }) {
  const { t } = useWords();
  const client = useQueryClient();
  const create = useCreateAdmin();
  const [name, setName] = useState('admin');
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const [tried, setTried] = useState(false);
  const short = password.length < SHORTEST_PASSWORD;
  const differs = password !== again;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (short || differs) return;
    const onSuccess = () => {
      // The one-time token has done its work: out of the address and the history.
      window.history.replaceState(window.history.state, '', '/setup');
      void client.invalidateQueries({ queryKey: ['get', '/api/v1/session'] });
      onDone(password);
    };
    create.mutate({ token, name: name.trim(), password }, { onSuccess });
  };
  return (
    <form onSubmit={submit} className="page">
      <p className="small dim">{t.entry.adminHint}</p>
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
        description={t.entry.passwordRule}
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
        autoComplete="new-password"
        error={tried && short && t.entry.passwordRule}
        required
      />
      <PasswordInput
        label={t.entry.passwordAgain}
        value={again}
        onChange={(event) => setAgain(event.currentTarget.value)}
        autoComplete="new-password"
        error={tried && differs && t.entry.passwordDiffers}
        required
      />
      {create.isError && <Failure error={create.error} />}
      <div>
        <ChangeButton type="submit" variant="filled" loading={create.isPending}>
          {t.entry.create}
        </ChangeButton>
      </div>
    </form>
  );
}
