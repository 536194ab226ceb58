import { lookup } from 'node:dns/promises';
import { Agent } from 'undici';
import { AbortWatch } from './abort-watch.ts';
import { addressRanges } from './address-ranges.ts';
import { checkHeaders } from './check-headers.ts';
import { type CheckedUrl, checkScheme, checkUrlOfAnyScheme } from './check-url.ts';
import type { ResolveName } from './checked-lookup.ts';
import { Exchange } from './exchange.ts';
import { guardedConnector } from './guarded-connector.ts';
import type { GuardedAnswer, GuardedPost } from './guarded-post.ts';

/** The one way for HTTP out of this machine. Safe to be called by many at once. */
export interface HttpGuard {
  /**
   * Sends a POST, once: over a connection that is reused, follows no redirect, repeats nothing, knows no proxy.
   *
   * @throws HttpFault, which tells what was not sent from what may have been
   */
  post(request: GuardedPost): Promise<GuardedAnswer>;
  /** Waits for what is in flight and lets go of all connections; a later post is refused. */
  close(): Promise<void>;
}

export interface HttpGuardOptions {
  /** Special ranges this environment lets through, such as `10.0.0.0/8`. */
  readonly allowCidrs: readonly string[];
  /** Certificates (PEM) of a private authority, trusted beside those Node.js trusts. */
  readonly ca?: string;
  /** Connections to one origin at most; 64. Requests beyond them wait, within their time. */
  readonly connections?: number;
  /** For look-up, connection and TLS handshake together, in milliseconds; 5,000. */
  readonly connectTimeoutMs?: number;
  /** Resolves names; that of the system. Whatever it answers is checked. */
  readonly resolveName?: ResolveName;
}

const MAX_ANSWER_HEADER_BYTES = 16 * 1024;
/** URLs whose check is remembered. */
const MAX_KNOWN_URLS = 1000;

/**
 * A guard for one environment.
 *
 * @throws SluiceError `configuration_invalid` for a range that is none
 */
export function createHttpGuard(options: HttpGuardOptions): HttpGuard {
  const allowed = addressRanges(options.allowCidrs);
  const agent = new Agent({
    connect: guardedConnector({
      allowed,
      resolveName: options.resolveName ?? ((hostname) => lookup(hostname, { all: true })),
      connectTimeoutMs: options.connectTimeoutMs ?? 5000,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    }),
    connections: options.connections ?? 64,
    pipelining: 1,
    maxHeaderSize: MAX_ANSWER_HEADER_BYTES,
    // An exchange has one deadline of its own.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  let closing: Promise<void> | undefined;
  const aborts = new AbortWatch();
  const knownUrls = new Map<string, CheckedUrl>();
  const checkedUrl = (text: string): CheckedUrl => {
    const known = knownUrls.get(text);
    if (known !== undefined) return known;
    const url = checkUrlOfAnyScheme(text, allowed);
    if (knownUrls.size >= MAX_KNOWN_URLS) knownUrls.clear();
    knownUrls.set(text, url);
    return url;
  };

  return {
    post: (request) =>
      new Promise((resolve, reject) => {
        const { body, signal } = request;
        const url = checkScheme(checkedUrl(request.url), request.allowHttp);
        const headers = checkHeaders(request.headers);
        const exchange = new Exchange(request, url, aborts, { resolve, reject });
        if (signal.aborted) exchange.giveUp();
        else agent.dispatch({ origin: url.origin, path: url.path, method: 'POST', headers, body }, exchange);
      }),
    close: () => {
      closing ??= agent.close();
      return closing;
    },
  };
}
