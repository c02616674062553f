import type { Uploads, UploadWindow } from '~/api/types';

const MB = 1_000_000;
/** Bytes per second; with less the appliance would never finish a pack. */
const SLOWEST = 16 * 1024;

/** Hours with a limit of their own, as a form has them: an empty speed is no limit, 0 is nothing. */
export interface WindowDraft {
  days: NonNullable<UploadWindow['days']>;
  from: string;
  until: string;
  speed: string;
}

export interface UploadsDraft {
  speed: string;
  windows: WindowDraft[];
}

export const NEW_WINDOW: WindowDraft = { days: 'workdays', from: '08:00', until: '18:00', speed: '1' };

const inMb = (bytes: number | null | undefined) => (bytes == null ? '' : String(bytes / MB));

const inBytes = (speed: string): number | null => {
  const text = speed.trim().replace(',', '.');
  return text === '' ? null : Math.round(Number(text) * MB);
};

export const draftOf = (uploads: Uploads): UploadsDraft => ({
  speed: inMb(uploads.bytes_per_second),
  windows: (uploads.windows ?? []).map((window) => ({
    days: window.days ?? 'all',
    from: window.from,
    until: window.until,
    speed: inMb(window.bytes_per_second),
  })),
});

/** Whether a speed in MB/s can be kept; nothing at all only within hours. */
export const isSpeed = (speed: string, within: boolean): boolean => {
  const bytes = inBytes(speed);
  return bytes === null || bytes >= SLOWEST || (within && bytes === 0);
};

const MINUTE = /^([01]\d|2[0-3]):[0-5]\d$/;

/** Hours end at 24:00 at the latest, and begin before it. */
export const isWindow = (window: WindowDraft): boolean =>
  MINUTE.test(window.from) &&
  (MINUTE.test(window.until) || window.until === '24:00') &&
  window.from !== window.until &&
  isSpeed(window.speed, true);

/** What was decided, with what the form does not show. */
export const uploadsOf = (draft: UploadsDraft, before: Uploads): Uploads => ({
  ...before,
  bytes_per_second: inBytes(draft.speed),
  windows: draft.windows.map((window) => ({
    days: window.days,
    from: window.from,
    until: window.until,
    bytes_per_second: inBytes(window.speed),
  })),
});
