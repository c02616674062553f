import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useLink } from '~/api/link';
import { useStatus } from '~/api/queries';
import { useWords } from '~/i18n';
import { Notice } from '~/parts/Notice';
import css from './Shell.module.css';

/** What concerns every page: a lost link, a kit that nobody has confirmed. */
export function Banners() {
  const { t, f } = useWords();
  const link = useLink();
  const { data: status } = useStatus();
  return (
    <>
      {!link.up && (
        <div className={css.banner}>
          <Notice tone="warn" live title={t.shell.reconnecting(f.clock(link.heard))}>
            {t.shell.reconnectingHint}
          </Notice>
        </div>
      )}
      {status && !status.kit_confirmed && (
        <div className={css.banner}>
          <Notice
            tone="warn"
            title={t.shell.kitMissing}
            action={
              <Button size="xs" renderRoot={(props) => <Link to="/settings" {...props} />}>
                {t.shell.kitGet}
              </Button>
            }
          />
        </div>
      )}
    </>
  );
}
