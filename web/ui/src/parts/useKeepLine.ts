import type { Policy } from '~/api/types';
import { useWords } from '~/i18n';

export const KEEP_RULES = ['last', 'hourly', 'daily', 'weekly', 'monthly'] as const;

/** `4 newest, 14 daily, 8 weekly`: retention in one line. */
export function useKeepLine(): (keep: Policy['keep']) => string {
  const { t, f } = useWords();
  return (keep) => {
    const rules = KEEP_RULES.filter((rule) => keep[rule] > 0);
    if (rules.length === 0) return t.admin.keepEverything;
    return f.list(rules.map((rule) => t.admin.keepLine(f.number(keep[rule]), t.admin.keepRule[rule])));
  };
}
