import type { UseQueryResult } from '@tanstack/react-query';
import type { StatusView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { AreaChart } from '~/parts/charts/AreaChart';
import { Panel } from '~/parts/Panel';
import css from './Overview.module.css';

/** New data per hour over the last three days. */
export function ActivityPanel({ status }: { status: UseQueryResult<StatusView, unknown> }) {
  const { t } = useWords();
  const legend = (
    <span className={css.legend}>
      <span className={css.captured}>{t.overview.captured}</span>
      <span className={css.uploaded}>{t.overview.uploaded}</span>
    </span>
  );
  return (
    <Panel title={t.overview.newData} aside={legend}>
      <Await of={status} skeleton={3}>
        {({ activity }) => <AreaChart points={activity} />}
      </Await>
    </Panel>
  );
}
