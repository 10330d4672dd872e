/** The one door to the server. Everything goes to our own origin, with the session's cookie. */
import createClient, { type Middleware } from 'openapi-fetch';

import type { components, paths } from '~/api/schema';

export type Schemas = components['schemas'];

/** What the server answered when it refused, or that it could not be reached (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: unknown;
  readonly correlationId: string | null;
  readonly retryAfter: number | null;

  constructor(status: number, body: Partial<Schemas['ErrorBody']>, retryAfter: string | null = null) {
    super(body.message ?? (status ? `The server answered ${status}.` : 'The server cannot be reached.'));
    this.name = 'ApiError';
    this.status = status;
    this.code = body.code ?? (status ? 'UNKNOWN' : 'UNREACHABLE');
    this.details = body.details ?? null;
    this.correlationId = body.correlation_id ?? null;
    this.retryAfter = retryAfter === null ? null : Number(retryAfter) || null;
  }

  /** Places in what was sent that the server named, if it named any. */
  get places(): Schemas['Warned'][] {
    return Array.isArray(this.details) ? (this.details as Schemas['Warned'][]) : [];
  }
}

let csrf: string | null = null;
let onExpired: () => void = () => undefined;

/** The session's token against forged requests: sent with everything that changes something. */
export function keepCsrf(token: string | null): void {
  csrf = token;
}

/** Whether the server has known who this is, and nobody has logged out since. */
export function inSession(): boolean {
  return csrf !== null;
}

/** Called when the server no longer knows the session. */
export function whenExpired(listener: () => void): void {
  onExpired = listener;
}

const session: Middleware = {
  onRequest({ request }) {
    if (csrf !== null && request.method !== 'GET') request.headers.set('X-CSRF-Token', csrf);
    return request;
  },
  async onResponse({ request, response, schemaPath }) {
    if (response.ok) return response;
    const body = await readError(response);
    // Asking who one is, or giving a wrong password, ends no session; losing the one that was known does.
    const asking = schemaPath === '/v1/session' && (request.method !== 'GET' || !inSession());
    if (response.status === 401 && !asking && inSession()) onExpired();
    throw new ApiError(response.status, body, response.headers.get('Retry-After'));
  },
  onError({ error }) {
    if (error instanceof DOMException && error.name === 'AbortError') return error;
    return new ApiError(0, {});
  },
};

async function readError(response: Response): Promise<Partial<Schemas['ErrorBody']>> {
  try {
    const body = (await response.json()) as Partial<Schemas['ErrorAnswer']>;
    return body.error ?? {};
  } catch {
    return {};
  }
}

export const api = createClient<paths>({ baseUrl: '/', credentials: 'same-origin' });
api.use(session);

/** The answer's body. What the server refuses was thrown by then, so there is one unless it is empty. */
export function data<T>(answer: { data?: T }): T {
  return answer.data as T;
}
