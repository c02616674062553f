import { describe, expect, it } from 'vitest';
import type { SnapshotView } from '~/api/types';
import { firstChoices, request } from './wishes';

const first = firstChoices({ id: 'point' } as SnapshotView);

describe('restore request', () => {
  it('is safe by default: beside, from wherever is nearer, nothing agreed to', () => {
    expect(request(first)).toEqual({
      snapshot: 'point',
      target: { kind: 'beside' },
      name: null,
      volume: null,
      services: [],
      no_ports: false,
      no_addresses: false,
      from: 'auto',
      confirmed: false,
    });
  });

  it('waits until volume and host are chosen', () => {
    expect(request({ ...first, what: 'volume' })).toBeNull();
    expect(request({ ...first, where: 'host' })).toBeNull();
    expect(request({ ...first, where: 'host', host: 'edge-02' })?.target).toEqual({ kind: 'host', host: 'edge-02' });
  });

  it('asks for chosen services, and for no ports or addresses only under its own name', () => {
    expect(request({ ...first, what: 'service' })).toBeNull();
    const chosen = { ...first, what: 'service' as const, services: ['db'], noPorts: true, noAddresses: true };
    expect(request(chosen)).toMatchObject({ services: ['db'], volume: null, no_ports: false, no_addresses: false });
    expect(request({ ...chosen, where: 'in_place' })).toMatchObject({ no_ports: true, no_addresses: true });
    expect(request({ ...chosen, what: 'app' })?.services).toEqual([]);
  });

  it('sends a name only beside the original', () => {
    expect(request({ ...first, name: ' copy ' })?.name).toBe('copy');
    expect(request({ ...first, name: 'copy', where: 'in_place' })?.name).toBeNull();
  });
});
