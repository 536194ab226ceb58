import { HttpFault } from './http-fault.ts';

/** How far a request had come when an error ended it. */
export interface Progress {
  readonly wasSent: boolean;
  /** Status of the answer so far; null before one came. */
  readonly status: number | null;
  readonly secure: boolean;
  /** Host and port, for people. */
  readonly host: string;
}

/** The fault that an error of the HTTP client means. */
export function httpFaultOf(error: NodeJS.ErrnoException, progress: Progress): HttpFault {
  if (error instanceof HttpFault) return error;
  return progress.wasSent ? sentFault(error, progress) : unsentFault(error, progress);
}

function sentFault(error: NodeJS.ErrnoException, { status, host }: Progress): HttpFault {
  if (error.code === 'UND_ERR_HEADERS_OVERFLOW') {
    return new HttpFault('response_too_large', `The headers of the answer of ${host} are too large.`, status);
  }
  const when = status === null ? 'before an answer came' : `in the middle of an answer with status ${status}`;
  return new HttpFault(
    'connection_cut',
    `The connection to ${host} ended ${when} (${reason(error)}); whether the request had its effect is unknown.`,
    status,
  );
}

function unsentFault(error: NodeJS.ErrnoException, { secure, host }: Progress): HttpFault {
  if (error.code === 'UND_ERR_INVALID_ARG' || error.code === 'UND_ERR_NOT_SUPPORTED') {
    return new HttpFault('request_invalid', 'The request cannot be written as HTTP/1.1.');
  }
  if (error.code === 'UND_ERR_CONNECT_TIMEOUT' || error.code === 'ETIMEDOUT') {
    return new HttpFault('connect_timeout', `No connection to ${host} came about in time.`);
  }
  // Connecting fails with the system call `connect`, or with one such error for each address; all later errors before
  // the request are of the handshake.
  const isConnect = error.syscall === 'connect' || error instanceof AggregateError;
  return secure && !isConnect
    ? new HttpFault('tls_failed', `No trusted TLS connection to ${host} came about: ${reason(error)}.`)
    : new HttpFault('connect_refused', `The connection to ${host} was refused: ${reason(error)}.`);
}

/** The code where there is one: messages of TLS errors quote the certificate at length. */
function reason({ code, message }: NodeJS.ErrnoException): string {
  return code ?? message;
}
