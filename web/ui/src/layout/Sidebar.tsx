import { IconAnchor, IconCloudLock } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useStatus } from '~/api/queries';
import { useWords } from '~/i18n';
import { PAGES } from './pages';
import css from './Sidebar.module.css';

/** Brand, pages, and who runs the bucket. */
export function Sidebar({ onNavigate }: { onNavigate?: () => void }) {
  const { t, f } = useWords();
  const { data: status } = useStatus();
  const running = status?.jobs.length ?? 0;
  return (
    <>
      <Link to="/" className={css.brand} onClick={onNavigate}>
        <span className={css.mark}>
          <IconAnchor size={19} aria-hidden />
        </span>
        <span>
          <strong>Holdfast</strong>
          <span className="dim small">{status?.appliance ?? '\u00a0'}</span>
        </span>
      </Link>
      <nav aria-label={t.shell.navigation}>
        <ul className={css.nav}>
          {PAGES.map(({ to, name, icon: Icon }) => (
            <li key={to}>
              <Link to={to} className={css.link} activeOptions={{ exact: to === '/' }} onClick={onNavigate}>
                <Icon size={18} stroke={1.7} aria-hidden />
                <span>{t.shell[name]}</span>
                {name === 'jobs' && running > 0 && (
                  <span className={css.count} aria-label={t.shell.running(f.number(running))}>
                    {f.number(running)}
                  </span>
                )}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      {status?.enrolment && (
        <div className={css.foot}>
          <div className="row" style={{ flexWrap: 'nowrap', fontWeight: 600 }}>
            <IconCloudLock size={17} aria-hidden />
            {t.shell.managedBy(status.enrolment.provider)}
          </div>
          <div className="dim" style={{ marginTop: '0.2rem' }}>
            {t.shell.enrolledAs(status.enrolment.tenant)}
          </div>
        </div>
      )}
    </>
  );
}
