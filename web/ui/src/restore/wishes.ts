/** From what a person chose to what the appliance is asked. Pure. */
import type { RestoreRequest, SnapshotView, Source, Target } from '~/api/types';

export interface Choices {
  snapshot: string;
  source: Source;
  what: 'app' | 'service' | 'volume';
  services: string[];
  volume: string | null;
  where: Target['kind'];
  name: string;
  host: string | null;
  noPorts: boolean;
  noAddresses: boolean;
}

export function firstChoices(snapshot: SnapshotView): Choices {
  return {
    snapshot: snapshot.id,
    source: 'auto',
    what: 'app',
    services: [],
    volume: null,
    where: 'beside',
    name: '',
    host: null,
    noPorts: false,
    noAddresses: false,
  };
}

/** The request, or `null` while something is still to be chosen. */
export function request(choices: Choices): RestoreRequest | null {
  if (choices.what === 'volume' && !choices.volume) return null;
  if (choices.what === 'service' && choices.services.length === 0) return null;
  const target = targetOf(choices);
  if (!target) return null;
  // A copy publishes no ports and keeps no addresses anyway.
  const underOwnName = choices.where !== 'beside' && choices.what !== 'volume';
  const name = choices.where === 'beside' ? choices.name.trim() || null : null;
  return {
    snapshot: choices.snapshot,
    target,
    name,
    volume: choices.what === 'volume' ? choices.volume : null,
    services: choices.what === 'service' ? choices.services : [],
    no_ports: underOwnName && choices.noPorts,
    no_addresses: underOwnName && choices.noAddresses,
    from: choices.source,
    confirmed: false,
  };
}

function targetOf({ where, host }: Choices): Target | null {
  if (where !== 'host') return { kind: where };
  return host ? { kind: 'host', host } : null;
}
