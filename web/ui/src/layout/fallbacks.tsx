import { Button } from '@mantine/core';
import { Link, type ErrorComponentProps } from '@tanstack/react-router';
import { useWords } from '~/i18n';
import { Bones } from '~/parts/Await';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Failure } from '~/parts/Problems';
import { Entry } from './Entry';

export function PageLoading() {
  return (
    <div className="page">
      <Bones rows={1} height={60} />
      <Bones rows={4} height={90} />
    </div>
  );
}

export function PageFailed({ error, reset }: ErrorComponentProps) {
  return (
    <Entry>
      <Failure error={error} retry={() => (reset(), window.location.reload())} />
    </Entry>
  );
}

export function NotFound() {
  const { t } = useWords();
  return (
    <Entry>
      <h1>{t.shell.notFound}</h1>
      <Panel>
        <Empty
          title={t.shell.notFoundHint}
          action={<Button renderRoot={(props) => <Link to="/" {...props} />}>{t.shell.toOverview}</Button>}
        />
      </Panel>
    </Entry>
  );
}
