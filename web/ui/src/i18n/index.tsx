/** Words and numbers in the reader's language. Both catalogues have the same type: a missing key fails `tsc`. */
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { every, formats, type Formats } from '~/lib/format';
import * as admin from './admin';
import * as apps from './apps';
import * as common from './common';
import * as entry from './entry';
import * as files from './files';
import * as jobs from './jobs';
import * as keys from './keys';
import * as overview from './overview';
import * as restore from './restore';
import * as shell from './shell';
import * as storage from './storage';

const en = {
  admin: admin.en,
  apps: apps.en,
  common: common.en,
  entry: entry.en,
  files: files.en,
  jobs: jobs.en,
  keys: keys.en,
  overview: overview.en,
  restore: restore.en,
  shell: shell.en,
  storage: storage.en,
};
export type Catalogue = typeof en;
const de: Catalogue = {
  admin: admin.de,
  apps: apps.de,
  common: common.de,
  entry: entry.de,
  files: files.de,
  jobs: jobs.de,
  keys: keys.de,
  overview: overview.de,
  restore: restore.de,
  shell: shell.de,
  storage: storage.de,
};

export type Language = 'en' | 'de';
export const LANGUAGES: { value: Language; label: string }[] = [
  { value: 'en', label: 'English' },
  { value: 'de', label: 'Deutsch' },
];
const CATALOGUES: Record<Language, Catalogue> = { en, de };
const STORED = 'holdfast.language';

export interface Words {
  t: Catalogue;
  f: Formats;
  language: Language;
  setLanguage(language: Language): void;
  /** `6 h`, `daily`: a policy's interval in words. */
  interval(seconds: number): string;
}

const WordsContext = createContext<Words | null>(null);

function firstLanguage(): Language {
  const stored = localStorage.getItem(STORED);
  if (stored === 'en' || stored === 'de') return stored;
  return navigator.language.startsWith('de') ? 'de' : 'en';
}

/** The person's own regional form of the language, where the browser names one. */
function localeOf(language: Language): string {
  return navigator.languages.find((each) => each.startsWith(language)) ?? (language === 'de' ? 'de-DE' : 'en-US');
}

export function WordsProvider({ children }: { children: ReactNode }) {
  const [language, choose] = useState<Language>(firstLanguage);
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const words = useMemo<Words>(() => {
    const t = CATALOGUES[language];
    const f = formats(localeOf(language));
    return {
      t,
      f,
      language,
      setLanguage(next) {
        localStorage.setItem(STORED, next);
        choose(next);
      },
      interval(seconds) {
        const { count, unit } = every(seconds);
        return t.common.every[unit](f.number(count), count);
      },
    };
  }, [language]);
  return <WordsContext value={words}>{children}</WordsContext>;
}

export function useWords(): Words {
  const words = useContext(WordsContext);
  if (!words) throw new Error('WordsProvider is missing');
  return words;
}
