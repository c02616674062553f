import { Link } from '@tanstack/react-router';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { appTone } from '~/lib/apps';
import { Pill } from '~/parts/Pill';
import css from './Overview.module.css';

/** Apps that need somebody to look, worst first, each with its reason. */
export function AttentionList({ apps }: { apps: AppView[] }) {
  const { t } = useWords();
  return (
    <div className={css.attention}>
      {apps.map((app) => (
        <div key={app.id} className={css.need}>
          <Pill tone={appTone(app.state)}>{t.apps.state[app.state]}</Pill>
          <Link to="/apps/$host/$app" params={{ host: app.host, app: app.name }} className="plain-link">
            <strong>{app.name}</strong> <span className="dim">{app.host}</span>
          </Link>
          <span className="dim">{app.reason}</span>
        </div>
      ))}
    </div>
  );
}
