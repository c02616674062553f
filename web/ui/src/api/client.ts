/** The one door to the appliance: typed requests, problems as {@link ErrorView}. */
import createFetch, { type Middleware } from 'openapi-fetch';
import createClient from 'openapi-react-query';
import type { paths } from './schema';
import type { ErrorView } from './types';

/** Set by the router: where a person goes whose session has ended. */
let onLoggedOut: () => void = () => {};

export function whenLoggedOut(act: () => void): void {
  onLoggedOut = act;
}

const session: Middleware = {
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && !schemaPath.endsWith('/session')) onLoggedOut();
  },
};

export const http = createFetch<paths>({ baseUrl: window.location.origin, credentials: 'same-origin' });
http.use(session);

export const $api = createClient(http);

/** Turns whatever a request threw into words: a problem of the appliance, or a lost connection. */
export function asProblem(error: unknown): ErrorView {
  if (typeof error === 'object' && error !== null && 'code' in error && 'title' in error) {
    return error as ErrorView;
  }
  const detail = error instanceof Error ? error.message : '';
  return { status: 0, kind: 'unavailable', code: 'appliance.unreachable', title: '', detail, hint: null };
}

/** Unwraps an answer outside of React: the data, or the problem thrown. */
export async function need<T>(answer: Promise<{ data?: T; error?: unknown }>): Promise<T> {
  const { data, error } = await answer;
  if (error !== undefined) throw error;
  return data as T;
}
