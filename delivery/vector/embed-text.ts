import { type DeliveryFailure, type DeliveryOutcome, failed } from '../delivery-outcome.ts';
import type { HttpGuard } from '../http/create-http-guard.ts';
import { HttpFault } from '../http/http-fault.ts';
import { httpOutcome } from '../http-outcome.ts';

const KIND = 'vector';
/** Of an answer: so much for a number of the embedding, and so much for all around it. */
const BYTES_A_NUMBER = 40;
const BYTES_AROUND = 65_536;

/** An endpoint that answers as OpenAI's embeddings do. */
export interface EmbeddingEndpoint {
  readonly url: string;
  readonly model: string;
  readonly dimensions: number;
}

export interface EmbedRequest {
  readonly text: string;
  /** Null for an endpoint that asks for none. */
  readonly apiKey: string | null;
  readonly maxBodyBytes: number;
  readonly timeoutMs: number;
  readonly retryAfterMaxMs: number;
  readonly signal: AbortSignal;
}

/** What the endpoint is asked, or why it is not. */
export function embeddingBody(
  { model, dimensions }: EmbeddingEndpoint,
  text: string,
  maxBodyBytes: number,
): Buffer | DeliveryFailure {
  const body = Buffer.from(JSON.stringify({ model, input: text, dimensions }));
  if (body.length <= maxBodyBytes) return body;
  const message = `The text to embed has ${body.length} bytes as a request, and the route allows ${maxBodyBytes}.`;
  return { code: 'payload_too_large', message, mayRetry: false, retryAfterMs: null };
}

/** The embedding of a text, or the outcome of the delivery that cannot have one. */
export async function embedText(
  guard: HttpGuard,
  endpoint: EmbeddingEndpoint,
  request: EmbedRequest,
): Promise<{ readonly embedding: readonly number[] } | { readonly outcome: DeliveryOutcome }> {
  const { url, dimensions } = endpoint;
  const body = embeddingBody(endpoint, request.text, request.maxBodyBytes);
  if (!Buffer.isBuffer(body)) return { outcome: failed(KIND, body) };
  try {
    const answer = await guard.post({
      url,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        ...(request.apiKey !== null && { authorization: `Bearer ${request.apiKey}` }),
      },
      body,
      // The URL is the configuration's, which may say http; no route can.
      allowHttp: true,
      timeoutMs: request.timeoutMs,
      maxAnswerBytes: BYTES_AROUND + dimensions * BYTES_A_NUMBER,
      signal: request.signal,
    });
    const { retryAfterMaxMs } = request;
    const detail = { embedding_status: answer.status };
    const outcome = httpOutcome(answer, { kind: KIND, detail, retryAfterMaxMs, now: Date.now() });
    if (outcome.status !== 'sent') return { outcome };
    return readEmbedding(answer.body, dimensions);
  } catch (error) {
    if (!(error instanceof HttpFault)) throw error;
    const { code, message, mayRetry } = error;
    return { outcome: failed(KIND, { code, message, mayRetry, retryAfterMs: null }) };
  }
}

function readEmbedding(body: Buffer, dimensions: number): Awaited<ReturnType<typeof embedText>> {
  const embedding = firstEmbedding(body);
  if (embedding === null) {
    return refused('answer_malformed', 'The embedding endpoint answered something else than an embedding.');
  }
  if (embedding.length === dimensions) return { embedding };
  const message = `The embedding has ${embedding.length} dimensions, and the configuration says ${dimensions}.`;
  return refused('dimensions_differ', message);
}

/** `data[0].embedding`, finite numbers; null where there is none. */
function firstEmbedding(body: Buffer): readonly number[] | null {
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    const found: unknown = Object(Object(Object(answer).data)[0]).embedding;
    const isOne = Array.isArray(found) && found.length > 0 && found.every((value) => Number.isFinite(value));
    return isOne ? found : null;
  } catch {
    return null;
  }
}

function refused(code: string, message: string): { readonly outcome: DeliveryOutcome } {
  return { outcome: failed(KIND, { code, message, mayRetry: false, retryAfterMs: null }) };
}
