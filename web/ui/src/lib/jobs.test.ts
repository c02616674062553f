import { describe, expect, it } from 'vitest';
import type { JobView, Progress } from '~/api/types';
import { fraction, grouped, segments, subjectParts, withJob } from './jobs';

const progress = (part: Partial<Progress>): Progress =>
  ({ phase: '', phase_number: 0, phases: 0, bytes_total: 0, bytes_done: 0, bytes_new: 0, bytes_uploaded: 0, ...part }) as Progress;
const job = (id: string, state: JobView['state']): JobView => ({ id, state }) as JobView;

describe('progress', () => {
  it('goes by bytes, else by phases, else is unknown', () => {
    expect(fraction(progress({ bytes_total: 200, bytes_done: 50 }))).toBe(0.25);
    expect(fraction(progress({ bytes_total: 200, bytes_done: 500 }))).toBe(1);
    expect(fraction(progress({ phases: 4, phase_number: 3 }))).toBe(0.5);
    expect(fraction(progress({}))).toBeNull();
  });

  it('of the upload goes by what was sent', () => {
    expect(fraction(progress({ phase: 'ship', bytes_total: 200, bytes_done: 200, bytes_new: 10, bytes_uploaded: 5 }))).toBe(0.5);
  });

  it('fills the segments of past phases', () => {
    expect(segments(progress({ phases: 4, phase_number: 3, bytes_total: 100, bytes_done: 20 }))).toEqual([1, 1, 0.2, 0]);
    expect(segments(progress({}))).toEqual([0.5]);
  });
});

describe('lists', () => {
  it('take a new job on top and a known one in its place', () => {
    const list = [job('b', 'running'), job('a', 'done')];
    expect(withJob(list, job('c', 'queued')).map(({ id }) => id)).toEqual(['c', 'b', 'a']);
    expect(withJob(list, job('b', 'done')).map(({ id, state }) => [id, state])).toEqual([
      ['b', 'done'],
      ['a', 'done'],
    ]);
  });

  it('put running before queued, and the past apart', () => {
    const { active, past } = grouped([job('q', 'queued'), job('r', 'running'), job('i', 'interrupted')]);
    expect(active.map(({ id }) => id)).toEqual(['r', 'q']);
    expect(past.map(({ id }) => id)).toEqual(['i']);
  });

  it('split a subject at its first slash', () => {
    expect(subjectParts('edge-01/shop')).toEqual({ host: 'edge-01', app: 'shop' });
    expect(subjectParts('')).toBeNull();
  });
});
