import { createHmac } from 'node:crypto';
import { SluiceError } from '../contracts/error-codes.ts';

/** What a signature of Standard Webhooks covers. */
export interface SignedWebhook {
  /** `webhook-id`; the same for every try. */
  readonly id: string;
  /** `webhook-timestamp`: seconds since 1970, of this try. */
  readonly timestamp: number;
  readonly body: Buffer;
}

/**
 * `webhook-signature` of Standard Webhooks 1.0: one `v1` signature for each key, in their order, with a space
 * between. The receiver takes the message where any of them fits, so both keys sign while one replaces the other.
 *
 * An id may hold a full stop: it is made of the event's uuid and the route's code, and neither is up to a user.
 */
export function signWebhook({ id, timestamp, body }: SignedWebhook, keys: readonly Buffer[]): string {
  const start = `${id}.${timestamp}.`;
  return keys
    .map((key) => `v1,${createHmac('sha256', key).update(start).update(body).digest('base64')}`)
    .join(' ');
}

/**
 * The key in a secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64.
 *
 * @throws SluiceError `configuration_invalid`, which does not repeat the secret
 */
export function readSigningKey(secret: string): Buffer {
  const encoded = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1] ?? '';
  const key = Buffer.from(encoded, 'base64');
  const isBase64 = key.toString('base64') === encoded;
  if (isBase64 && key.length >= 24 && key.length <= 64) return key;
  throw new SluiceError('configuration_invalid', {
    what: 'It is no secret of Standard Webhooks.',
    expected: '`whsec_` and 24 to 64 bytes in base64.',
    safe: 'Nothing was signed with it.',
  });
}
