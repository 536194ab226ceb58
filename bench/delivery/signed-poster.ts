import { setMaxListeners } from 'node:events';
import { createHttpGuard } from '../../delivery/http/create-http-guard.ts';
import { readSigningKey, signWebhook } from '../../delivery/sign-webhook.ts';

/** The secret that all sign with. */
export const SIGNING_SECRET = `whsec_${Buffer.alloc(32, 'bench').toString('base64')}`;
export const ALLOWED = ['127.0.0.0/8'];

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 1_048_576;
const key = readSigningKey(SIGNING_SECRET);

export interface SignedPost {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Headers as the `external_endpoint` target writes them. */
export function signed(id: string, body: Buffer): SignedPost {
  const timestamp = Math.floor(Date.now() / 1_000);
  return {
    headers: {
      'content-type': 'application/cloudevents+json',
      'idempotency-key': id,
      'webhook-id': id,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signWebhook({ id, timestamp, body }, [key]),
    },
    body,
  };
}

/** The HTTP client of the deliveries by itself: what the other queues post with. */
export interface SignedPoster {
  /** @throws Error for any other answer than 204 */
  post(post: SignedPost): Promise<void>;
  close(): Promise<void>;
}

export function signedPoster(url: string, connections: number): SignedPoster {
  const guard = createHttpGuard({ allowCidrs: ALLOWED, connections });
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  return {
    async post({ headers, body }) {
      const { status } = await guard.post({
        url,
        headers,
        body,
        allowHttp: true,
        timeoutMs: TIMEOUT_MS,
        maxAnswerBytes: MAX_ANSWER_BYTES,
        signal,
      });
      if (status !== 204) throw new Error(`the receiver answered ${status}`);
    },
    close: () => guard.close(),
  };
}
