/** Faults before the request was sent, of which nothing reached the target. */
export type UnsentFaultCode =
  | 'target_ref_malformed'
  | 'address_refused'
  | 'request_invalid'
  | 'dns_failed'
  | 'connect_refused'
  | 'connect_timeout'
  | 'tls_failed';

/** Faults after the request was sent: the target may have acted on it. */
export type SentFaultCode = 'timeout' | 'connection_cut' | 'response_too_large';

export type HttpFaultCode = UnsentFaultCode | SentFaultCode;

const TERMINAL: ReadonlySet<HttpFaultCode> = new Set([
  'target_ref_malformed',
  'address_refused',
  'request_invalid',
  'response_too_large',
]);

const MAY_HAVE_BEEN_SENT: ReadonlySet<HttpFaultCode> = new Set([
  'timeout',
  'connection_cut',
  'response_too_large',
]);

/**
 * Why a POST has no answer. `message` is one sentence that names at most the host and port of a URL, never its path,
 * query or user: those may hold secrets.
 */
export class HttpFault extends Error {
  /** A failure code of a delivery; stable. */
  readonly code: HttpFaultCode;
  /** Whether the same request may come through at another time. */
  readonly mayRetry: boolean;
  /** Whether the request left this machine: then nobody knows what the target did with it. */
  readonly wasSent: boolean;
  /** Status of an answer that broke off or was too large; null where none had come. */
  readonly status: number | null;

  constructor(code: HttpFaultCode, message: string, status: number | null = null) {
    super(message);
    this.name = 'HttpFault';
    this.code = code;
    this.wasSent = MAY_HAVE_BEEN_SENT.has(code);
    this.status = status;
    this.mayRetry = !TERMINAL.has(code) || statusMayChange(status);
  }
}

/** Whether an answer with this status says "not now" rather than "no". */
function statusMayChange(status: number | null): boolean {
  return status !== null && (status >= 500 || status === 408 || status === 425 || status === 429);
}
