/** Reading an enrolment bundle: only its envelope; what it says is the appliance's to verify. Pure. */

export interface Bundle {
  payload: string;
  key: string;
  signature: string;
}

export function parseBundle(text: string): Bundle | null {
  try {
    const { payload, key, signature } = JSON.parse(text.trim()) as Partial<Bundle>;
    if (![payload, key, signature].every((part) => typeof part === 'string' && part !== '')) return null;
    return { payload, key, signature } as Bundle;
  } catch {
    return null;
  }
}
