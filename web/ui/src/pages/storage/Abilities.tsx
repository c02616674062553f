import type { Capabilities } from '~/api/types';
import { useWords } from '~/i18n';
import { useNow } from '~/lib/now';
import { Pill } from '~/parts/Pill';
import css from './Storage.module.css';

const ABILITIES = [
  'list_after_put',
  'conditional_put',
  'conditional_race',
  'range',
  'checksum',
  'versioning',
  'object_lock',
  'can_delete',
] as const;
/** Clocks that differ by more are worth a line. */
const SKEW_WORTH_TELLING = 5;

/** What the probe saw, test by test. */
export function Abilities({ capabilities }: { capabilities: Capabilities | null }) {
  const { t, f } = useWords();
  const now = useNow();
  if (!capabilities) return <p className="dim small">{t.storage.neverProbed}</p>;
  const skew = Math.abs(capabilities.clock_skew_seconds);
  return (
    <div>
      <div className="spread" style={{ marginBottom: '0.6rem' }}>
        <h3>{t.storage.ability}</h3>
        <span className="dim small">
          {capabilities.probed ? t.storage.probed(f.ago(capabilities.probed, now)) : t.storage.neverProbed}
        </span>
      </div>
      <p className="dim small">{t.storage.abilityHint}</p>
      <ul className={css.abilities}>
        {ABILITIES.map((ability) => (
          <li key={ability}>
            <Pill tone={capabilities[ability] ? 'good' : 'calm'}>
              {capabilities[ability] ? t.storage.able : t.storage.unable}
            </Pill>
            {t.storage.abilities[ability]}
          </li>
        ))}
      </ul>
      {skew > SKEW_WORTH_TELLING && <Pill tone="warn">{t.storage.skew(f.duration(skew))}</Pill>}
      {capabilities.lost.length > 0 && <Pill tone="bad">{t.storage.lost(capabilities.lost.join(', '))}</Pill>}
      {capabilities.notes.map((note) => (
        <p key={note} className="dim small">
          {note}
        </p>
      ))}
    </div>
  );
}
