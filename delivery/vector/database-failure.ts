import type { DeliveryFailure } from '../delivery-outcome.ts';

/** By the code of the socket or of TLS. */
const SOCKET: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect_refused',
  EHOSTUNREACH: 'connect_refused',
  ENETUNREACH: 'connect_refused',
  ENOENT: 'connect_refused',
  ETIMEDOUT: 'connect_timeout',
  ENOTFOUND: 'dns_failed',
  EAI_AGAIN: 'dns_failed',
  ECONNRESET: 'connection_cut',
  EPIPE: 'connection_cut',
};
/** Classes of SQLSTATE that say "not now": the connection, resources, an operator, a collision, who may come in. */
const NOT_NOW = new Set(['08', '28', '3D', '40', '53', '55', '57', '58', 'XX']);
/** Cancelled, which is how a statement timeout shows. */
const CANCELLED = '57014';
/** Names of tables and columns, and rights on them; other classes quote values of rows. */
const SAYS_NO_VALUE = '42';

/**
 * What an error of the driver or of PostgreSQL means for a delivery. No value of a row and no password is in it. Any other
 * error is thrown on.
 */
export function databaseFailure(error: unknown): DeliveryFailure {
  const { code, message } = Object(error) as { readonly code?: unknown; readonly message?: unknown };
  const text = String(message ?? '');
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !(code in SOCKET)) return ofState(code, text);
  const socket = typeof code === 'string' ? SOCKET[code] : undefined;
  if (socket !== undefined) return failure(socket, `The database cannot be reached (${String(code)}).`, true);
  if (/timeout exceeded when trying to connect|timeout expired/.test(text)) {
    return failure('connect_timeout', 'The database gave no connection in time.', true);
  }
  if (/SSL|TLS|certificate/i.test(`${String(code)} ${text}`)) {
    return failure(
      'tls_failed',
      `The connection to the database is not secure (${String(code ?? 'refused')}).`,
      true,
    );
  }
  if (!/Connection terminated|not queryable|Client was closed/.test(text)) throw error;
  return failure('connection_cut', 'The connection to the database ended before its answer.', true);
}

function ofState(state: string, text: string): DeliveryFailure {
  if (state === CANCELLED) return failure('timeout', 'The database took too long.', true);
  const said = state.startsWith(SAYS_NO_VALUE) ? `: ${text}` : '';
  const message = `PostgreSQL refused the row (${state})${said}.`;
  return failure(`sqlstate_${state.toLowerCase()}`, message, NOT_NOW.has(state.slice(0, 2)));
}

function failure(code: string, message: string, mayRetry: boolean): DeliveryFailure {
  return { code, message, mayRetry, retryAfterMs: null };
}
