import { headersFault } from './http/check-headers.ts';

/** What this engine writes, what a reader of CloudEvents or Standard Webhooks looks at, and credentials. */
const RESERVED =
  /^(?:authorization|content-.*|cookie|forwarded|idempotency-key|proxy-.*|sec-.*|x-forwarded-.*|ce-.*|webhook-.*)$/;
const MAX_LENGTH = 1024;

/** Why a route may not send a header, in one sentence without a full stop; null where it may. The value is not repeated. */
export function headerFault(name: string, value: string): string | null {
  const lower = name.toLowerCase();
  if (RESERVED.test(lower)) return `Header \`${lower}\` is not for a route to set`;
  if (lower.length + value.length > MAX_LENGTH) return `A header has more than ${MAX_LENGTH} characters`;
  return headersFault({ [lower]: value })?.replace(/\.$/, '') ?? null;
}
