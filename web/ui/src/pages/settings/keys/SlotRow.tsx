import { Button } from '@mantine/core';
import { useLink } from '~/api/link';
import type { SlotView } from '~/api/types';
import { useWords } from '~/i18n';
import { Pill } from '~/parts/Pill';

interface Props {
  slot: SlotView;
  onChange: () => void;
  onRemove: () => void;
}

export function SlotRow({ slot, onChange, onRemove }: Props) {
  const { t, f } = useWords();
  const { up } = useLink();
  const name = slot.name || slot.id;
  const places = [slot.in_cache && t.keys.inCache, slot.in_bucket && t.keys.inBucket].filter((place) => place !== false);
  const strange = !slot.ours || slot.retired;
  const fixed = (slot.way === 'device' || slot.way === 'recovery') && !strange;
  return (
    <tr>
      <td>
        <div className="row">
          <strong>{t.keys.way[slot.way]}</strong>
          {slot.name && <span>{slot.name}</span>}
          {!slot.ours && <Pill tone="bad">{t.keys.notOurs}</Pill>}
          {slot.retired && <Pill tone="warn">{t.keys.retired}</Pill>}
        </div>
        {slot.fingerprint && <div className="dim small mono">{t.keys.fingerprint(slot.fingerprint)}</div>}
        {strange && <div className="small">{slot.ours ? t.keys.retiredHint : t.keys.notOursHint}</div>}
      </td>
      <td style={{ whiteSpace: 'nowrap' }}>{slot.made ? f.moment(slot.made) : t.common.unknown}</td>
      <td>{f.list(places)}</td>
      <td>
        <div className="row" style={{ flexWrap: 'nowrap' }}>
          {slot.way === 'passphrase' && !strange && (
            <Button size="xs" disabled={!up} onClick={onChange} aria-label={t.keys.changeOf(name)}>
              {t.keys.change}
            </Button>
          )}
          {!fixed && (
            <Button size="xs" disabled={!up} onClick={onRemove} aria-label={t.keys.removeOf(name)}>
              {t.common.remove}
            </Button>
          )}
        </div>
      </td>
    </tr>
  );
}
