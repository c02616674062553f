import { Button } from '@mantine/core';
import { asProblem } from '~/api/client';
import type { Problem } from '~/api/types';
import { useWords } from '~/i18n';
import type { Tone } from '~/lib/apps';
import { Notice } from './Notice';

const TONES: Record<Problem['severity'], Tone> = { note: 'calm', warning: 'warn', error: 'bad' };

/** An error of a request, in the appliance's own words, with what to do. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useWords();
  const problem = asProblem(error);
  const lost = problem.status === 0;
  return (
    <Notice
      tone="bad"
      live
      title={lost ? t.common.unreachable : problem.title}
      action={
        retry && (
          <Button size="xs" onClick={retry}>
            {t.common.retry}
          </Button>
        )
      }
    >
      {lost ? t.common.unreachableHint : <Story detail={problem.detail} title={problem.title} hint={problem.hint} />}
      {!lost && <div className="small dim mono">{problem.code}</div>}
    </Notice>
  );
}

function Story({ detail, title, hint }: { detail: string; title: string; hint: string | null }) {
  return (
    <>
      {detail !== title && <div>{detail}</div>}
      {hint && <div>{hint}</div>}
    </>
  );
}

/** What was not as it should be: each by name, with advice. */
export function ProblemList({ problems }: { problems: Problem[] }) {
  const { t } = useWords();
  return (
    <ul className="stack" style={{ listStyle: 'none', margin: 0, padding: 0 }}>
      {problems.map((problem, place) => (
        <li key={`${problem.code}/${problem.subject}/${place}`}>
          <Notice
            tone={TONES[problem.severity]}
            title={`${t.common.severity[problem.severity]}: ${problem.subject || problem.code}`}
          >
            <div>{problem.message}</div>
            {problem.advice && <div className="dim">{problem.advice}</div>}
          </Notice>
        </li>
      ))}
    </ul>
  );
}
