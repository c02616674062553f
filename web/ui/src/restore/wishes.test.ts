import { describe, expect, it } from 'vitest';
import type { SnapshotView } from '~/api/types';
import { firstChoices, readPorts, request, waysFor } from './wishes';

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
      ports: [],
      ways: [],
      from: 'auto',
      confirmed: false,
      lose_uncaptured: false,
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

  it('reads other ports as they are typed, and nothing else', () => {
    expect(readPorts('')).toEqual([]);
    expect(readPorts(' 8080=18080, 443=8443 ')).toEqual([
      { from: 8080, to: 18080 },
      { from: 443, to: 8443 },
    ]);
    for (const wrong of ['8080', '80=', '0=1', '1=70000', 'a=b']) expect(readPorts(wrong)).toBeNull();
    expect(request({ ...first, ports: '80=8080' })?.ports).toEqual([{ from: 80, to: 8080 }]);
    expect(request({ ...first, ports: '80' })).toBeNull();
  });

  it('offers the ways that the plan calls for, and keeps those that were chosen', () => {
    const conflicts = [{ code: 'path.missing' }, { code: 'runtime.missing' }, { code: 'volume_driver.missing' }, { code: 'name.taken' }];
    expect(waysFor(conflicts, ['no_limits'])).toEqual(['make_paths', 'no_limits', 'no_paths', 'own_drivers']);
    expect(waysFor([], [])).toEqual([]);
  });

  it('sends a name only beside the original', () => {
    expect(request({ ...first, name: ' copy ' })?.name).toBe('copy');
    expect(request({ ...first, name: 'copy', where: 'in_place' })?.name).toBeNull();
  });
});
