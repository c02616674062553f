/** From what a person chose to what the appliance is asked. Pure. */
import type { PortChange, Problem, RestoreRequest, SnapshotView, Source, Target, WayOut } from '~/api/types';

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
  /** As typed: `8080=18080, 443=8443`. */
  ports: string;
  ways: WayOut[];
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
    ports: '',
    ways: [],
  };
}

/** The request, or `null` while something is still to be chosen. */
export function request(choices: Choices): RestoreRequest | null {
  if (choices.what === 'volume' && !choices.volume) return null;
  if (choices.what === 'service' && choices.services.length === 0) return null;
  const ports = readPorts(choices.ports);
  if (!ports) return null;
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
    ports: choices.what === 'volume' ? [] : ports,
    ways: choices.ways,
    from: choices.source,
    confirmed: false,
    lose_uncaptured: false,
  };
}

/** What is typed as ports, or `null` if it is none. */
export function readPorts(text: string): PortChange[] | null {
  const parts = text.split(/[\s,]+/).filter((part) => part !== '');
  const pairs = parts.map((part) => /^(\d{1,5})=(\d{1,5})$/.exec(part));
  const changes = pairs.map((pair) => ({ from: Number(pair?.[1]), to: Number(pair?.[2]) }));
  const isPort = (port: number) => port > 0 && port < 65536;
  return changes.every(({ from, to }) => isPort(from) && isPort(to)) ? changes : null;
}

const WAYS: Record<string, WayOut[]> = {
  'device.missing': ['no_devices'],
  'runtime.missing': ['own_drivers'],
  'log_driver.missing': ['own_drivers'],
  'network_driver.missing': ['own_drivers'],
  'volume_driver.missing': ['own_drivers'],
  'path.missing': ['no_paths', 'make_paths'],
  'limit.refused': ['no_limits'],
  'network.missing': ['make_networks'],
};

/** Ways that lead round these conflicts, and those that were chosen already; each once. */
export function waysFor(conflicts: Pick<Problem, 'code'>[], chosen: WayOut[]): WayOut[] {
  return [...new Set([...chosen, ...conflicts.flatMap((conflict) => WAYS[conflict.code] ?? [])])].sort();
}

function targetOf({ where, host }: Choices): Target | null {
  if (where !== 'host') return { kind: where };
  return host ? { kind: 'host', host } : null;
}
