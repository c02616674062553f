/** Numbers, sizes and times in the reader's language. Pure: locale and time zone come in. */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'] as const;
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

export interface Formats {
  locale: string;
  number(value: number): string;
  /** `412 GB`, decimal units, at most three digits. */
  bytes(value: number): string;
  /** `48.2 MB/s`. */
  rate(value: number): string;
  percent(fraction: number): string;
  /** `3 hr. ago`. */
  ago(time: string, now: number): string;
  /** `Sat, Nov 21, 11:35 PM UTC`. */
  moment(time: string): string;
  /** `Nov 21, 11:35 PM`. */
  shortMoment(time: string): string;
  clock(time: string | number, seconds?: boolean): string;
  weekday(time: string): string;
  dayLabel(time: string): string;
  /** `4 min 7 s`. */
  duration(seconds: number): string;
  list(words: string[]): string;
}

export function formats(locale: string, timeZone?: string): Formats {
  const date = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(locale, { ...options, timeZone });
  const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
  const tenth = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });
  const relative = new Intl.RelativeTimeFormat(locale, { style: 'short', numeric: 'always' });
  const long = date({
    weekday: 'short',
    month: 'short',
    day: 'numeric',
    hour: 'numeric',
    minute: '2-digit',
    timeZoneName: 'short',
  });
  const short = date({ month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' });
  const clock = date({ hour: 'numeric', minute: '2-digit' });
  const clockSeconds = date({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
  const weekday = date({ weekday: 'short' });
  const dayLabel = date({ day: 'numeric', weekday: 'short' });
  const list = new Intl.ListFormat(locale, { type: 'conjunction' });

  const bytes = (value: number) => {
    const { amount, unit } = scale(value);
    return `${(amount < 100 ? tenth : whole).format(amount)}\u00a0${unit}`;
  };
  return {
    locale,
    number: (value) => whole.format(value),
    bytes,
    rate: (value) => `${bytes(value)}/s`,
    percent: (fraction) => percent.format(fraction),
    ago: (time, now) => relativeTo(relative, (Date.parse(time) - now) / 1000),
    moment: (time) => long.format(new Date(time)),
    shortMoment: (time) => short.format(new Date(time)),
    clock: (time, seconds) => (seconds ? clockSeconds : clock).format(new Date(time)),
    weekday: (time) => weekday.format(new Date(time)),
    dayLabel: (time) => dayLabel.format(new Date(time)),
    duration: (seconds) => duration(seconds, whole),
    list: (words) => list.format(words),
  };
}

function scale(value: number): { amount: number; unit: string } {
  let amount = Math.max(0, value);
  let step = 0;
  while (amount >= 999.5 && step < UNITS.length - 1) {
    amount /= 1000;
    step += 1;
  }
  return { amount: step === 0 ? Math.round(amount) : amount, unit: UNITS[step] ?? 'B' };
}

function relativeTo(format: Intl.RelativeTimeFormat, seconds: number): string {
  const size = Math.abs(seconds);
  if (size < MINUTE) return format.format(Math.round(seconds), 'second');
  if (size < HOUR) return format.format(Math.round(seconds / MINUTE), 'minute');
  if (size < 2 * DAY) return format.format(Math.round(seconds / HOUR), 'hour');
  return format.format(Math.round(seconds / DAY), 'day');
}

function duration(seconds: number, whole: Intl.NumberFormat): string {
  const total = Math.max(0, Math.round(seconds));
  const parts: [number, string][] = [
    [Math.floor(total / DAY), 'd'],
    [Math.floor((total % DAY) / HOUR), 'h'],
    [Math.floor((total % HOUR) / MINUTE), 'min'],
    [total % MINUTE, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0\u00a0s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${whole.format(count)}\u00a0${unit}`)
    .join(' ');
}

/** `1 h`, `6 h`, `2 d`: how often a policy runs; `daily` and such are the catalogue's business. */
export function every(seconds: number): { count: number; unit: 'minute' | 'hour' | 'day' | 'week' } {
  const units = [
    [7 * DAY, 'week'],
    [DAY, 'day'],
    [HOUR, 'hour'],
  ] as const;
  const fit = units.find(([size]) => seconds >= size && seconds % size === 0);
  return fit ? { count: seconds / fit[0], unit: fit[1] } : { count: Math.round(seconds / MINUTE), unit: 'minute' };
}
