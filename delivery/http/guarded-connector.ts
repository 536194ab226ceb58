import { isIP } from 'node:net';
import { createSecureContext, rootCertificates } from 'node:tls';
import { buildConnector } from 'undici';
import { addressFault } from './address-fault.ts';
import type { AddressRanges } from './address-ranges.ts';
import { checkedLookup, type ResolveName } from './checked-lookup.ts';
import { HttpFault } from './http-fault.ts';

export interface ConnectorOptions {
  readonly allowed: AddressRanges;
  readonly resolveName: ResolveName;
  /** For the look-up, the connection and the TLS handshake together, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Certificates (PEM) to trust beside those Node.js trusts. */
  readonly ca?: string;
}

/**
 * Opens the sockets of the guard: to checked addresses only, be the host a name or an address, and over TLS only to
 * a peer with a valid certificate for that host, whatever `NODE_TLS_REJECT_UNAUTHORIZED` says.
 */
export function guardedConnector(options: ConnectorOptions): buildConnector.connector {
  const { allowed, resolveName, connectTimeoutMs, ca } = options;
  const connect = buildConnector({
    lookup: checkedLookup(resolveName, allowed),
    timeout: connectTimeoutMs,
    rejectUnauthorized: true,
    autoSelectFamily: true,
    // Node.js waits 250 ms for one address before it tries the next: less than a handshake around the world.
    autoSelectFamilyAttemptTimeout: 1000,
    ...(ca === undefined ? {} : { secureContext: createSecureContext({ ca: [...rootCertificates, ca] }) }),
  });
  return (target, callback) => {
    // A socket does not look up a host that is an address, so its lookup cannot check it.
    const fault = isIP(target.hostname) === 0 ? null : addressFault(target.hostname, allowed);
    if (fault === null) return connect(target, callback);
    const refused = new HttpFault('address_refused', `Nothing is sent to ${target.hostname}, ${fault}.`);
    process.nextTick(callback, refused, null);
  };
}
