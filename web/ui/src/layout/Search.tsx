import { Modal, TextInput, VisuallyHidden } from '@mantine/core';
import { IconBox, IconSearch } from '@tabler/icons-react';
import { useNavigate } from '@tanstack/react-router';
import { useId, useState, type ComponentType, type KeyboardEvent } from 'react';
import { useApps } from '~/api/queries';
import { useWords } from '~/i18n';
import { matches } from '~/lib/apps';
import { PAGES } from './pages';
import css from './Search.module.css';

interface Hit {
  key: string;
  label: string;
  where: string;
  icon: ComponentType<{ size?: number }>;
  go: () => void;
}

/** Enough to choose from without scrolling far. */
const MOST_HITS = 30;

export function Search({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const { t } = useWords();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      withCloseButton={false}
      title={<VisuallyHidden>{t.shell.search}</VisuallyHidden>}
      classNames={{ header: css.header }}
      yOffset="10vh"
      centered={false}
      size="lg"
    >
      <Finder onClose={onClose} />
    </Modal>
  );
}

function Finder({ onClose }: { onClose: () => void }) {
  const { t } = useWords();
  const id = useId();
  const [words, setWords] = useState('');
  const [place, setPlace] = useState(0);
  const hits = useHits(words);
  const current = Math.min(place, hits.length - 1);
  const open = (hit: Hit | undefined) => {
    if (!hit) return;
    onClose();
    hit.go();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && hits.length > 0) {
      event.preventDefault();
      setPlace((current + step + hits.length) % hits.length);
    }
    if (event.key === 'Enter') open(hits[current]);
  };
  return (
    <>
      <TextInput
        data-autofocus
        size="md"
        leftSection={<IconSearch size={17} aria-hidden />}
        placeholder={t.shell.search}
        aria-label={t.shell.search}
        aria-describedby={`${id}-hint`}
        role="combobox"
        aria-expanded={hits.length > 0}
        aria-controls={`${id}-hits`}
        aria-activedescendant={hits[current] ? `${id}-${current}` : undefined}
        value={words}
        onChange={(event) => {
          setWords(event.currentTarget.value);
          setPlace(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ul className={css.list} role="listbox" id={`${id}-hits`} aria-label={t.shell.search}>
        {hits.map((hit, index) => (
          <li
            key={hit.key}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === current}
            className={css.hit}
            onMouseMove={() => setPlace(index)}
            onClick={() => open(hit)}
          >
            <hit.icon size={17} />
            {hit.label}
            <span className={css.where}>{hit.where}</span>
          </li>
        ))}
      </ul>
      <p id={`${id}-hint`} className="dim small" style={{ padding: '0.5rem 0.7rem 0' }} role="status">
        {hits.length > 0 ? t.shell.searchHint : t.shell.searchEmpty}
      </p>
    </>
  );
}

function useHits(words: string): Hit[] {
  const { t } = useWords();
  const navigate = useNavigate();
  const { data: apps = [] } = useApps();
  const found = apps.filter((app) => matches(app, words)).map((app) => ({
    key: app.id,
    label: app.name,
    where: app.host,
    icon: IconBox,
    go: () => void navigate({ to: '/apps/$host/$app', params: { host: app.host, app: app.name } }),
  }));
  const pages = PAGES.filter(({ name }) => t.shell[name].toLowerCase().includes(words.toLowerCase())).map(
    ({ to, name, icon }) => ({
      key: to,
      label: t.shell[name],
      where: t.shell.pages,
      icon,
      go: () => void navigate({ to }),
    }),
  );
  const all = words === '' ? [...pages, ...found] : [...found, ...pages];
  return all.slice(0, MOST_HITS);
}
