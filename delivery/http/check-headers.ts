import { HttpFault } from './http-fault.ts';

/** A token of RFC 9110. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Visible ASCII, spaces and tabs: no CR, LF, NUL or other control, nothing that two readers could decode in two ways. */
const VALUE = /^[\t -~]*$/;

/** Set by the guard, or a way to make two readers disagree about where a request ends. */
const OWN: ReadonlySet<string> = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Names that were found to be tokens; the same few come with every request. */
const knownNames = new Set<string>();
const MOST_KNOWN_NAMES = 1_000;

/**
 * The headers to write, names and values in turn: those asked for, and that the answer must not be compressed.
 *
 * @throws HttpFault `request_invalid`, without any value, for those that {@link headersFault} finds fault with
 */
export function checkHeaders(asked: Readonly<Record<string, string>>): string[] {
  const headers = ['accept-encoding', 'identity'];
  for (const asWritten in asked) {
    const name = asWritten.toLowerCase();
    const value = asked[asWritten];
    const fault = headerFault(name, value, headers);
    if (fault !== null) throw new HttpFault('request_invalid', fault);
    headers.push(name, value ?? '');
  }
  return headers;
}

/** The sentence that says why headers cannot be sent; null where they can. */
export function headersFault(asked: Readonly<Record<string, string>>): string | null {
  try {
    checkHeaders(asked);
    return null;
  } catch (error) {
    if (error instanceof HttpFault) return error.message;
    throw error;
  }
}

function headerFault(name: string, value: unknown, before: readonly string[]): string | null {
  const isKnown = knownNames.has(name);
  if (!isKnown && !NAME.test(name)) return 'A header has a name that is not a token of HTTP.';
  if (typeof value !== 'string' || !VALUE.test(value)) {
    return `Header \`${name}\` holds something other than visible ASCII characters.`;
  }
  if (OWN.has(name)) return `Header \`${name}\` belongs to the connection and is not set by a request.`;
  if (!isKnown && knownNames.size < MOST_KNOWN_NAMES) knownNames.add(name);
  for (let at = 0; at < before.length; at += 2) {
    if (before[at] === name) return `Header \`${name}\` is there twice.`;
  }
  return null;
}
