import { Button, Modal, NativeSelect, TextInput } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useState } from 'react';
import { useUploads } from '~/api/actions';
import { useLink } from '~/api/link';
import type { BucketView, UploadWindow } from '~/api/types';
import { useWords } from '~/i18n';
import { draftOf, isSpeed, isWindow, NEW_WINDOW, uploadsOf, type WindowDraft } from '~/lib/uploads';
import { ChangeButton } from '~/parts/ChangeButton';
import { Facts } from '~/parts/Facts';
import { Notice } from '~/parts/Notice';
import { useToasts } from '~/parts/Toasts';
import { ActForm } from './ActForm';

/** What uploads may take of the line: a pause, a limit, hours with another one. */
export function Uploads({ bucket }: { bucket: BucketView }) {
  const { t, f } = useWords();
  const { up } = useLink();
  const decide = useUploads();
  const { done, failed } = useToasts();
  const [opened, dialog] = useDisclosure(false);
  const { uploads } = bucket;
  const speed = (bytes: number | null | undefined) =>
    bytes == null ? t.storage.speedFull : bytes === 0 ? t.storage.speedNone : f.rate(bytes);
  const hours = (window: UploadWindow) =>
    t.storage.windowLine(t.storage.days[window.days ?? 'all'], window.from, window.until, speed(window.bytes_per_second));
  const pause = (paused: boolean) =>
    decide.mutate(
      { ...uploads, paused, expected: uploads },
      { onSuccess: () => done(paused ? t.storage.pausedDone : t.storage.resumedDone), onError: failed },
    );
  return (
    <div className="stack">
      {uploads.paused && (
        <Notice tone="warn" title={t.storage.paused}>
          {t.storage.pausedHint}
        </Notice>
      )}
      <Facts
        facts={[
          [t.storage.limitNow, speed(bucket.allowed)],
          [t.storage.limitUsual, speed(uploads.bytes_per_second)],
          ...uploads.windows.map((window): [string, string] => [t.storage.limitHours, hours(window)]),
        ]}
      />
      <div className="row">
        <ChangeButton loading={decide.isPending} onClick={() => pause(!uploads.paused)}>
          {uploads.paused ? t.storage.resume : t.storage.pause}
        </ChangeButton>
        <Button disabled={!up} onClick={dialog.open}>
          {t.storage.limits}
        </Button>
      </div>
      <Modal
        opened={opened}
        onClose={dialog.close}
        title={t.storage.limits}
        closeButtonProps={{ 'aria-label': t.common.close }}
      >
        {opened && <Limits bucket={bucket} onDone={dialog.close} />}
      </Modal>
    </div>
  );
}

function Limits({ bucket, onDone }: { bucket: BucketView; onDone: () => void }) {
  const { t } = useWords();
  // As they were when the dialog opened: who changes them meanwhile is not overwritten.
  const [before] = useState(bucket.uploads);
  const [draft, setDraft] = useState(() => draftOf(before));
  const decide = useUploads();
  const good = isSpeed(draft.speed, false) && draft.windows.every(isWindow);
  const put = (at: number, window: WindowDraft | null) =>
    setDraft({
      ...draft,
      windows: draft.windows.flatMap((old, index) => (index !== at ? [old] : window ? [window] : [])),
    });
  const body = good ? { ...uploadsOf(draft, before), expected: before } : null;
  return (
    <ActForm asks={decide} body={body} told={() => t.storage.limitsDone} onDone={onDone}>
      <TextInput
        label={t.storage.limitField}
        description={t.storage.limitFieldHint}
        inputMode="decimal"
        value={draft.speed}
        error={isSpeed(draft.speed, false) ? undefined : t.storage.limitBad}
        onChange={(event) => setDraft({ ...draft, speed: event.currentTarget.value })}
      />
      {draft.windows.map((window, index) => (
        // Windows have no name but their place.
        <WindowFields key={index} value={window} onChange={(next) => put(index, next)} />
      ))}
      <div>
        <Button onClick={() => setDraft({ ...draft, windows: [...draft.windows, NEW_WINDOW] })}>
          {t.storage.windowAdd}
        </Button>
      </div>
    </ActForm>
  );
}

const DAYS = ['all', 'workdays', 'weekends'] as const;

function WindowFields({ value, onChange }: { value: WindowDraft; onChange: (next: WindowDraft | null) => void }) {
  const { t } = useWords();
  const field = (name: 'from' | 'until' | 'speed') => ({
    value: value[name],
    onChange: (event: { currentTarget: { value: string } }) => onChange({ ...value, [name]: event.currentTarget.value }),
  });
  return (
    <fieldset className="stack">
      <legend className="small dim">{t.storage.limitHours}</legend>
      <div className="row">
        <NativeSelect
          label={t.storage.windowDays}
          data={DAYS.map((days) => ({ value: days, label: t.storage.days[days] }))}
          value={value.days}
          onChange={(event) => onChange({ ...value, days: event.currentTarget.value as WindowDraft['days'] })}
        />
        <TextInput type="time" label={t.storage.windowFrom} {...field('from')} />
        <TextInput
          label={t.storage.windowUntil}
          description={t.storage.windowUntilHint}
          inputMode="numeric"
          maxLength={5}
          {...field('until')}
        />
      </div>
      <TextInput
        label={t.storage.windowSpeed}
        description={t.storage.windowSpeedHint}
        inputMode="decimal"
        error={isWindow(value) ? undefined : t.storage.windowBad}
        {...field('speed')}
      />
      <div>
        <Button size="xs" onClick={() => onChange(null)}>
          {t.storage.windowRemove}
        </Button>
      </div>
    </fieldset>
  );
}
