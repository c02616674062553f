/** From what a person chose to what the appliance is asked. Pure. */
import type { RestoreRequest, SnapshotView, Source, Target } from '~/api/types';

export interface Choices {
  snapshot: string;
  source: Source;
  what: 'app' | 'volume';
  volume: string | null;
  where: Target['kind'];
  name: string;
  host: string | null;
}

export function firstChoices(snapshot: SnapshotView): Choices {
  return {
    snapshot: snapshot.id,
    source: 'auto',
    what: 'app',
    volume: null,
    where: 'beside',
    name: '',
    host: null,
  };
}

/** The request, or `null` while something is still to be chosen. */
export function request(choices: Choices): RestoreRequest | null {
  if (choices.what === 'volume' && !choices.volume) return null;
  const target = targetOf(choices);
  if (!target) return null;
  const name = choices.where === 'beside' ? choices.name.trim() || null : null;
  return {
    snapshot: choices.snapshot,
    target,
    name,
    volume: choices.what === 'volume' ? choices.volume : null,
    from: choices.source,
    confirmed: false,
  };
}

function targetOf({ where, host }: Choices): Target | null {
  if (where !== 'host') return { kind: where };
  return host ? { kind: 'host', host } : null;
}
