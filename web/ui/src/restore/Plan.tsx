import type { UseQueryResult } from '@tanstack/react-query';
import type { PlanView } from '~/api/types';
import { useWords } from '~/i18n';
import { Bones } from '~/parts/Await';
import { Failure, ProblemList } from '~/parts/Problems';
import css from './restore.module.css';

/** What will happen, step by step, before it happens. */
export function Plan({ plan, waiting }: { plan: UseQueryResult<PlanView, unknown>; waiting: boolean }) {
  const { t, f } = useWords();
  if (plan.isError) return <Failure error={plan.error} retry={() => void plan.refetch()} />;
  return (
    <section className={css.plan} aria-busy={plan.isFetching} aria-label={t.restore.happens}>
      <h3>{t.restore.happens}</h3>
      {!plan.data || waiting ? (
        <Bones rows={3} height={16} />
      ) : (
        <>
          <ol>
            {plan.data.steps.map((step, place) => (
              <li key={place}>{step}</li>
            ))}
          </ol>
          <p className="dim small">{t.restore.writes(f.bytes(plan.data.bytes))}</p>
          {plan.data.conflicts.length > 0 && (
            <>
              <h3>{t.restore.conflicts}</h3>
              <ProblemList problems={plan.data.conflicts} />
            </>
          )}
          {plan.data.notes.length > 0 && (
            <>
              <h3>{t.restore.notes}</h3>
              <ul className={css.notes}>
                {plan.data.notes.map((note, place) => (
                  <li key={place}>
                    {note.subject && <strong>{note.subject}: </strong>}
                    {note.message} {note.advice}
                  </li>
                ))}
              </ul>
            </>
          )}
        </>
      )}
    </section>
  );
}
