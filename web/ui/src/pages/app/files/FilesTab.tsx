import { NativeSelect } from '@mantine/core';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useSections, useSnapshots } from '~/api/queries';
import type { AppView, SectionView, SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Await } from '~/parts/Await';
import { Empty } from '~/parts/Notice';
import { Panel } from '~/parts/Panel';
import { Changes } from './Changes';
import { Folder } from './Folder';
import { Found } from './Found';
import { SearchBar } from './SearchBar';

/** Restore points to choose from; more are found in the list of all of them. */
const POINTS = 500;

/** Where in the restore points somebody is. */
export interface Spot {
  point?: string;
  section?: string;
  path?: string;
  find?: string;
  /** An earlier point that this one is compared with. */
  compare?: string;
}

/** What is inside the restore points of an app: folders, files, names. */
export function FilesTab({ app }: { app: AppView }) {
  const { t } = useWords();
  const spot = useSearch({ strict: false }) as Spot;
  const navigate = useNavigate();
  const snapshots = useSnapshots(app.id);
  const go = (next: Spot) => void navigate({ to: '.', search: { tab: 'files', ...next }, resetScroll: false });
  return (
    <div className="page">
      <SearchBar key={spot.find ?? ''} find={spot.find} go={(find) => go({ ...spot, find })} />
      {spot.find ? (
        <Found app={app} pattern={spot.find} go={go} />
      ) : (
        <Await of={snapshots} skeleton={6}>
          {(all) =>
            all.length === 0 ? (
              <Panel>
                <Empty title={t.files.none}>{t.files.noneHint}</Empty>
              </Panel>
            ) : (
              <Point all={all} spot={spot} go={go} />
            )
          }
        </Await>
      )}
    </div>
  );
}

function Point({ all, spot, go }: { all: SnapshotView[]; spot: Spot; go: (next: Spot) => void }) {
  const { t, f } = useWords();
  const newest = all.slice(-POINTS).reverse();
  const chosen = all.find((each) => each.id === spot.point) ?? newest[0];
  const sections = useSections(chosen?.id);
  if (!chosen) return null;
  const listed = newest.some((each) => each.id === chosen.id) ? newest : [...newest, chosen];
  const points = listed.map((each) => ({ value: each.id, label: f.moment(each.time) }));
  const compared = all.find((each) => each.id === spot.compare && each.id !== chosen.id);
  return (
    <Await of={sections} skeleton={6}>
      {(parts) => {
        const part = parts.find((each) => each.section === spot.section) ?? parts.find((each) => each.readable);
        return (
          <>
            <Panel title={t.files.list} quiet>
              <div className="row" style={{ alignItems: 'flex-end' }}>
                <NativeSelect
                  label={t.files.point}
                  value={chosen.id}
                  data={points}
                  onChange={(event) => go({ ...spot, point: event.currentTarget.value })}
                />
                {!compared && <Parts parts={parts} part={part} choose={(section) => go({ point: chosen.id, section })} />}
                <NativeSelect
                  label={t.files.compare}
                  value={compared?.id ?? ''}
                  data={[{ value: '', label: t.files.compareNone }, ...points.filter((each) => each.value !== chosen.id)]}
                  onChange={(event) => go({ ...spot, point: chosen.id, compare: event.currentTarget.value || undefined })}
                />
              </div>
            </Panel>
            {compared ? (
              <Changes before={compared.id} after={chosen.id} go={go} />
            ) : part ? (
              <Folder
                place={{ snapshot: chosen.id, section: part.section, path: spot.path ?? '' }}
                part={part}
                go={(path) => go({ point: chosen.id, section: part.section, path })}
              />
            ) : (
              <Panel>
                <Empty title={t.files.noSection} />
              </Panel>
            )}
          </>
        );
      }}
    </Await>
  );
}

function Parts({ parts, part, choose }: { parts: SectionView[]; part?: SectionView; choose: (section: string) => void }) {
  const { t } = useWords();
  const kind = (each: SectionView) => t.files.kind[each.kind as keyof typeof t.files.kind] ?? each.kind;
  if (!part) return null;
  return (
    <NativeSelect
      label={t.files.section}
      value={part.section}
      data={parts.map((each) => ({ value: each.section, label: `${kind(each)} · ${each.name}` }))}
      onChange={(event) => choose(event.currentTarget.value)}
    />
  );
}
