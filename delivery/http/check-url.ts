import { isIP } from 'node:net';
import { addressFault } from './address-fault.ts';
import { type AddressRanges, addressRanges } from './address-ranges.ts';
import { HttpFault } from './http-fault.ts';

/** A URL that may be sent to, in the parts a request needs. */
export interface CheckedUrl {
  /** Scheme, host and port, normalised. */
  readonly origin: string;
  /** Path and query. */
  readonly path: string;
  /** Host and port, for people. */
  readonly host: string;
  /** Whether it is https. */
  readonly secure: boolean;
}

export interface UrlPolicy {
  /** Whether plain http may be used beside https. */
  readonly allowHttp: boolean;
  /** Special ranges this environment lets through. */
  readonly allowCidrs: readonly string[];
}

const MAX_LENGTH = 4096;

/**
 * Reads the URL of a target. The host is judged as the WHATWG URL standard normalises it, so that every spelling of
 * an address (octal, hexadecimal, one number, full-width digits) is the address it means. A name is judged again
 * when it is resolved, address by address.
 *
 * Ports: 443, 80, and 1024 and above. Below live the mail, login, directory and file services of a network, to which
 * no webhook is sent and which understand enough of an HTTP request to be misused by one.
 *
 * @throws HttpFault `target_ref_malformed` for what no environment can send to: no URL, another scheme, a user or
 * password, a fragment, no host, a host with a trailing dot, white space, a backslash or control characters, more than
 * 4,096 characters. `address_refused` for what this one does not: http where only https is allowed, a refused port,
 * a refused address, `localhost`.
 */
export function checkUrl(text: string, { allowHttp, allowCidrs }: UrlPolicy): CheckedUrl {
  return checkScheme(checkUrlOfAnyScheme(text, addressRanges(allowCidrs)), allowHttp);
}

/** What {@link checkUrl} checks, but for whether http is allowed: the same for every route. */
export function checkUrlOfAnyScheme(text: string, allowed: AddressRanges): CheckedUrl {
  const url = readUrl(text);
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  if (port !== 80 && port !== 443 && port < 1024) {
    throw new HttpFault(
      'address_refused',
      `Port ${port} of ${url.hostname} is refused: only 443, 80 and 1024 up.`,
    );
  }
  const fault = hostFault(url.hostname, allowed);
  if (fault !== null) throw new HttpFault('address_refused', `Nothing is sent to ${url.hostname}, ${fault}.`);
  return {
    origin: url.origin,
    path: `${url.pathname}${url.search}`,
    host: `${url.hostname}:${port}`,
    secure,
  };
}

/** The rest of what {@link checkUrl} checks: no http but where it is allowed. */
export function checkScheme(url: CheckedUrl, allowHttp: boolean): CheckedUrl {
  if (url.secure || allowHttp) return url;
  throw new HttpFault('address_refused', `The URL of ${url.host} is http, and only https is allowed here.`);
}

function readUrl(text: string): URL {
  if (text.length > MAX_LENGTH) throw malformed(`longer than ${MAX_LENGTH} characters`);
  // The parser would drop tabs and line ends, trim the ends, and read a backslash as a slash.
  if (/[\s\\\p{Cc}]/u.test(text)) throw malformed('written with white space, a backslash or a control');
  if (!/^https?:\/\/[^/]/i.test(text) || !URL.canParse(text))
    throw malformed('no http or https URL with a host');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '' || /^[^/]*\/\/[^/?#]*@/.test(text)) {
    throw malformed('written with a user or password');
  }
  if (text.includes('#')) throw malformed('written with a fragment');
  if (url.hostname.endsWith('.')) throw malformed('written with a dot at the end of its host');
  return url;
}

/** Why a host may not be sent to, before it is resolved; null where it may, so far. */
function hostFault(hostname: string, allowed: AddressRanges): string | null {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  if (isIP(bare) !== 0) return addressFault(bare, allowed);
  if (!/(^|\.)localhost$/.test(hostname)) return null;
  // RFC 6761: these names are loopback, whatever a resolver says.
  const isAllowed = ['127.0.0.1', '::1'].some((address) => addressFault(address, allowed) === null);
  return isAllowed ? null : 'which is loopback';
}

function malformed(what: string): HttpFault {
  return new HttpFault('target_ref_malformed', `The URL of the target is ${what}.`);
}
