import { expect, test } from 'vitest';
import type { ServiceHooks } from '~/api/types';
import { hooksToSend, saidBy } from './hooks';

const none: ServiceHooks = { dump: null, pre: null, post: null, user: null, timeout_seconds: null };
const of = (labels: Partial<ServiceHooks>, set: Partial<ServiceHooks>) => ({
  service: 'db',
  present: true,
  labels: { ...none, ...labels },
  set: { ...none, ...set },
  effective: none,
});

test('who says a command', () => {
  expect(saidBy(of({}, {}), 'pre')).toBeNull();
  expect(saidBy(of({ pre: 'a' }, {}), 'pre')).toBe('label');
  expect(saidBy(of({ pre: 'a' }, { pre: 'b' }), 'pre')).toBe('set');
  expect(saidBy(of({ pre: 'a' }, { pre: '' }), 'pre')).toBe('off');
  expect(saidBy(of({}, { pre: '' }), 'pre')).toBeNull();
  expect(saidBy(of({ pre: '' }, {}), 'pre')).toBeNull();
});

test('what is empty in a form is not set', () => {
  expect(hooksToSend({ ...none, pre: ' ', user: ' ' })).toBeNull();
  expect(hooksToSend({ ...none, pre: 'sync', post: ' ' })).toEqual({ ...none, pre: 'sync' });
  expect(hooksToSend({ ...none, timeout_seconds: 5 })).toEqual({ ...none, timeout_seconds: 5 });
});

test('what takes a label away stays when something else changes', () => {
  const set = { ...none, pre: '', user: '', timeout_seconds: 5 };
  expect(hooksToSend(set)).toEqual(set);
});
