import { IconBox, IconStack2 } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { age, appTone } from '~/lib/apps';
import { Meter } from '~/parts/Meter';
import { Pill } from '~/parts/Pill';
import css from './AppsTable.module.css';

export function AppName({ app }: { app: AppView }) {
  const { t, f } = useWords();
  const Icon = app.project ? IconStack2 : IconBox;
  const facts = [app.host, t.common.containers(f.number(app.containers), app.containers)];
  if (app.bytes_logical !== null) facts.push(f.bytes(app.bytes_logical));
  return (
    <div className={css.app}>
      <span className={css.icon}>
        <Icon size={18} stroke={1.6} aria-hidden />
      </span>
      <span>
        <Link to="/apps/$host/$app" params={{ host: app.host, app: app.name }} className={`plain-link ${css.name}`}>
          {app.name}
        </Link>
        <div className="dim">{facts.join(' · ')}</div>
      </span>
    </div>
  );
}

export function StateCell({ app }: { app: AppView }) {
  const { t } = useWords();
  return (
    <div>
      <Pill tone={appTone(app.state)}>{t.apps.state[app.state]}</Pill>
      {app.reason && <div className={css.reason}>{app.reason}</div>}
    </div>
  );
}

/** How old the last good backup is, against what the policy wants. */
export function LastBackup({ app, now }: { app: AppView; now: number }) {
  const { t, f, interval } = useWords();
  if (!app.last_backup) return <span className="dim">{t.apps.noBackup}</span>;
  const old = age(app, now);
  const failed = app.state === 'failed' || (old?.late ?? false);
  return (
    <div className={css.last}>
      <div>
        <strong title={f.moment(app.last_backup)}>{f.ago(app.last_backup, now)}</strong>
        <span className={`dim ${css.policy}`}>
          {app.policy && app.every_seconds ? `${app.policy} · ${interval(app.every_seconds)}` : t.apps.noPolicy}
        </span>
      </div>
      {old && (
        <Meter
          thin
          label={t.apps.rpo(f.percent(old.share))}
          parts={[{ share: failed ? 1 : old.share, kind: failed ? 'bad' : 'good' }]}
        />
      )}
    </div>
  );
}
