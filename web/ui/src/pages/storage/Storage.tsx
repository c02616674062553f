import { useStatus } from '~/api/queries';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Title } from '~/parts/Title';
import { BucketPanel } from './BucketPanel';
import { CachePanel } from './CachePanel';
import { CheckPanel } from './CheckPanel';
import { PrunePanel } from './PrunePanel';

/** The two tiers, what they really do, and their upkeep. */
export function Storage() {
  const { t } = useWords();
  const status = useStatus();
  return (
    <div className="page">
      <Title text={t.shell.storage} />
      <Await of={status} skeleton={4}>
        {({ cache, bucket }) => (
          <>
            <CachePanel cache={cache} />
            <BucketPanel bucket={bucket} />
          </>
        )}
      </Await>
      <CheckPanel />
      <PrunePanel />
    </div>
  );
}
