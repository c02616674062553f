import { segments } from '~/lib/jobs';
import type { Progress } from '~/api/types';
import type { Tone } from '~/lib/apps';
import css from './Meter.module.css';

interface Part {
  share: number;
  kind: Tone | 'local' | 'cloud';
}

/** Shares of a whole, 0 to 1 each; the words beside it say the same. */
export function Meter({ parts, label, thin }: { parts: Part[]; label: string; thin?: boolean }) {
  return (
    <div className={thin ? `${css.track} ${css.thin}` : css.track} role="img" aria-label={label}>
      {parts.map(({ share, kind }, place) => (
        <div key={place} className={`${css.part} ${css[kind]}`} style={{ width: `${Math.min(1, share) * 100}%` }} />
      ))}
    </div>
  );
}

/** A job's phases, one segment each. */
export function PhaseBar({ progress, value, label }: { progress: Progress; value: number | null; label: string }) {
  return (
    <div
      className={css.phases}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={value === null ? undefined : Math.round(value * 100)}
    >
      {segments(progress).map((full, place) => (
        <div key={place} className={css.phase}>
          <div className={css.fill} style={{ width: `${full * 100}%` }} />
        </div>
      ))}
    </div>
  );
}
