import { Button } from '@mantine/core';
import { useApps } from '~/api/queries';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { AppName } from '~/parts/apps/cells';
import { useProtectAll } from '~/parts/apps/useProtectAll';
import { Await } from '~/parts/Await';
import { ChangeButton } from '~/parts/ChangeButton';
import { Empty } from '~/parts/Notice';

/** What was found, and one button that protects it. */
export function AppsStep({ onDone }: { onDone: () => void }) {
  const apps = useApps();
  return <Await of={apps}>{(all) => <Found apps={all} onDone={onDone} />}</Await>;
}

function Found({ apps, onDone }: { apps: AppView[]; onDone: () => void }) {
  const { t, f } = useWords();
  const protect = useProtectAll();
  const open = apps.filter((app) => app.policy === null);
  if (apps.length === 0) {
    return <Empty title={t.entry.foundNone} action={<Button onClick={onDone}>{t.entry.finish}</Button>} />;
  }
  return (
    <div className="page">
      <p className="small dim">{t.entry.foundHint(f.number(apps.length), apps.length)}</p>
      <ul className="stack small" style={{ listStyle: 'none', margin: 0, padding: 0, gap: '0.75rem' }}>
        {apps.map((app) => (
          <li key={app.id}>
            <AppName app={app} />
          </li>
        ))}
      </ul>
      <p className="small dim">{t.entry.protectHint}</p>
      <div className="row">
        <ChangeButton
          variant="filled"
          disabled={open.length === 0}
          loading={protect.isPending}
          onClick={() => protect.start(open, onDone)}
        >
          {t.entry.protect}
        </ChangeButton>
        <Button onClick={onDone}>{t.entry.later}</Button>
      </div>
    </div>
  );
}
