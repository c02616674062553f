import { useMediaQuery } from '@mantine/hooks';
import type { MouseEvent } from 'react';
import type { AppView } from '~/api/types';
import { useWords } from '~/i18n';
import { useNow } from '~/lib/now';
import { Spark } from '~/parts/charts/Spark';
import { useMore } from '~/parts/More';
import { TierTags } from '~/parts/TierTags';
import { AppActs } from './AppActs';
import { AppName, LastBackup, StateCell } from './cells';
import css from './AppsTable.module.css';

/** Rows drawn at once. */
const PAGE = 100;

interface Props {
  apps: AppView[];
  /** The app whose restore points are shown beside the table. */
  shown?: string;
  onShow?: (id: string) => void;
}

/** Apps as rows; as cards where the screen is narrow. */
export function AppsTable({ apps, ...rest }: Props) {
  const now = useNow();
  const narrow = useMediaQuery('(max-width: 48em)', false, { getInitialValueInEffect: false });
  const { shown: rows, more } = useMore(apps, PAGE);
  const Rows = narrow ? AppCards : AppRows;
  return (
    <>
      <Rows apps={rows} now={now} {...rest} />
      {more}
    </>
  );
}

function AppRows({ apps, now, shown, onShow }: Props & { now: number }) {
  const { t } = useWords();
  return (
    <div className={css.scroll}>
      <table className={css.table}>
        <thead>
          <tr>
            <th scope="col">{t.apps.colApp}</th>
            <th scope="col">{t.apps.colState}</th>
            <th scope="col">{t.apps.colLast}</th>
            <th scope="col">{t.apps.colNewest}</th>
            <th scope="col">{t.apps.colPoints}</th>
            <td style={{ border: 0 }} />
          </tr>
        </thead>
        <tbody>
          {apps.map((app) => (
            <tr
              key={app.id}
              className={rowClass(app.id === shown, onShow !== undefined)}
              onClick={(event) => isPlain(event) && onShow?.(app.id)}
            >
              <td>
                <AppName app={app} />
              </td>
              <td>
                <StateCell app={app} />
              </td>
              <td>
                <LastBackup app={app} now={now} />
              </td>
              <td>{app.newest ? <TierTags state={app.newest} /> : <span className="dim">—</span>}</td>
              <td>
                <Spark points={app.points} />
              </td>
              <td>
                <AppActs app={app} onShow={onShow} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function AppCards({ apps, now, onShow }: Props & { now: number }) {
  return (
    <ul className={css.cards}>
      {apps.map((app) => (
        <li key={app.id} className={css.card}>
          <div className="spread" style={{ flexWrap: 'nowrap' }}>
            <AppName app={app} />
            <AppActs app={app} onShow={onShow} />
          </div>
          <StateCell app={app} />
          <LastBackup app={app} now={now} />
          {app.newest && (
            <div className="spread">
              <TierTags state={app.newest} />
              <Spark points={app.points} />
            </div>
          )}
        </li>
      ))}
    </ul>
  );
}

const rowClass = (shown: boolean, choosable: boolean) =>
  [css.row, choosable && css.choosable, shown && css.shown].filter(Boolean).join(' ');

/** A click on the row itself, not on a link, button or menu in it. */
const isPlain = (event: MouseEvent) => !(event.target as Element).closest('a, button, [role="menu"]');
