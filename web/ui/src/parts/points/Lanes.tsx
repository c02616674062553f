import { useEffect, useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type RefObject } from 'react';
import type { SnapshotView } from '~/api/types';
import { useWords } from '~/i18n';
import { columns, dayTicks, type Column } from '~/lib/lanes';
import { LaneColumn } from './LaneColumn';
import css from './Lanes.module.css';
import { Legend } from './Legend';
import { BARS, CLOUD_Y, HEIGHT, LOCAL_Y, NARROWEST, WIDEST } from './sizes';

interface Props {
  snapshots: SnapshotView[];
  selected: string | undefined;
  onSelect: (id: string) => void;
}

/** Restore points over time, one lane per tier: a list box that arrows walk through. */
export function Lanes({ snapshots, selected, onSelect }: Props) {
  const { t, f } = useWords();
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const points = columns(snapshots, f.dayLabel);
  const step = Math.min(WIDEST, Math.max(NARROWEST, width / Math.max(1, points.length)));
  const place = points.findIndex((point) => point.id === selected);
  useScrolledTo(box, (place + 0.5) * step, points.length);
  const onKeyDown = (event: KeyboardEvent) => {
    const next = target(event.key, place, points);
    if (!next) return;
    event.preventDefault();
    onSelect(next.id);
  };
  const ticks = dayTicks(points, Math.ceil(46 / step));
  return (
    <div>
      <div className={css.frame} style={{ height: HEIGHT + 8 }}>
        <div className={css.names}>
          <span className="dim" style={{ top: BARS / 2 + 8 }}>
            {t.apps.laneNew}
          </span>
          <span style={{ top: LOCAL_Y, color: 'var(--hf-local)' }}>{t.apps.laneLocal}</span>
          <span style={{ top: CLOUD_Y, color: 'var(--hf-cloud)' }}>{t.apps.laneCloud}</span>
        </div>
        <div
          ref={box}
          className={css.scroll}
          role="listbox"
          tabIndex={0}
          aria-label={`${t.apps.restorePoints}. ${t.apps.lanesHint}`}
          aria-orientation="horizontal"
          aria-activedescendant={place >= 0 ? `${id}-${place}` : undefined}
          onKeyDown={onKeyDown}
        >
          <svg width={Math.max(points.length * step, width)} height={HEIGHT} role="presentation">
            <line className={css.rail} x1={0} x2="100%" y1={LOCAL_Y} y2={LOCAL_Y} />
            <line className={css.rail} x1={0} x2="100%" y1={CLOUD_Y} y2={CLOUD_Y} />
            {ticks.map((tick) => (
              <g key={tick} aria-hidden>
                <line className={css.day} x1={tick * step} x2={tick * step} y1={4} y2={CLOUD_Y + 8} />
                <text className={css.tick} x={Math.min(tick * step + 4, points.length * step - 40)} y={HEIGHT - 3}>
                  {f.dayLabel(points[tick]?.time ?? '')}
                </text>
              </g>
            ))}
            {points.map((point, index) => (
              <LaneColumn
                key={point.id}
                id={`${id}-${index}`}
                point={point}
                bytes={snapshots[snapshots.length - points.length + index]?.bytes_new ?? 0}
                x={(index + 0.5) * step}
                step={step}
                selected={index === place}
                onSelect={onSelect}
              />
            ))}
          </svg>
        </div>
      </div>
      <Legend points={points} />
    </div>
  );
}

function target(key: string, place: number, points: Column[]): Column | undefined {
  const last = points.length - 1;
  const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: last, PageUp: place - 10, PageDown: place + 10 }[
    key
  ];
  return to === undefined ? undefined : points[Math.min(last, Math.max(0, to))];
}

/** The room that the columns share, as it changes. */
function useWidth(box: RefObject<HTMLDivElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const frame = box.current;
    if (!frame) return;
    const measure = () => setWidth(frame.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(frame);
    return () => observer.disconnect();
  }, [box]);
  return width;
}

/** Keeps the chosen point in sight; the newest at first. */
function useScrolledTo(box: RefObject<HTMLDivElement | null>, x: number, count: number) {
  useEffect(() => {
    const frame = box.current;
    if (!frame) return;
    const outside = x < frame.scrollLeft + 20 || x > frame.scrollLeft + frame.clientWidth - 20;
    if (outside) frame.scrollLeft = x - frame.clientWidth * 0.8;
  }, [box, x, count]);
}
