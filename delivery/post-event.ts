import { answerExcerpt } from './answer-excerpt.ts';
import { type DeliveryOutcome, failed } from './delivery-outcome.ts';
import type { DeliveryTargetKind } from './delivery-target-kind.ts';
import type { HttpGuard } from './http/create-http-guard.ts';
import type { GuardedAnswer } from './http/guarded-post.ts';
import { HttpFault } from './http/http-fault.ts';
import { httpOutcome } from './http-outcome.ts';
import type { HttpRouteConfig } from './http-route-config.ts';

/** The most of an answer that is read; of a good one nothing is kept. */
const MAX_ANSWER_BYTES = 1_048_576;

/** Characters below which the path and query of a URL are no key that a receiver is known by. */
const SHORTEST_KEY = 16;

/** One event on its way out. */
export interface EventPost {
  readonly kind: DeliveryTargetKind;
  readonly url: string;
  /** Go over the headers of the route; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly route: HttpRouteConfig;
  readonly signal: AbortSignal;
  /** What must not come back in the record, should the target echo it. */
  readonly secrets: readonly string[];
  /** Facts for the record. */
  readonly detail: DeliveryOutcome['detail'];
}

/** Posts an event through the guard and says what became of it; what the guard refuses is an outcome too. */
export async function postEvent(guard: HttpGuard, post: EventPost): Promise<DeliveryOutcome> {
  const { kind, route, body } = post;
  if (body.length > route.maxBodyBytes) return tooLarge(post);
  const start = performance.now();
  try {
    const answer = await guard.post({
      url: post.url,
      headers: over(route.headers, post.headers),
      body,
      allowHttp: route.allowHttp,
      timeoutMs: route.timeoutMs,
      maxAnswerBytes: MAX_ANSWER_BYTES,
      signal: post.signal,
    });
    return httpOutcome(answer, {
      kind,
      detail: detailOf(post, start, answer),
      retryAfterMaxMs: route.retry.retryAfterMaxMs,
      now: Date.now(),
    });
  } catch (error) {
    if (!(error instanceof HttpFault)) throw error;
    const { code, message, mayRetry, status } = error;
    const detail = {
      ...post.detail,
      duration_ms: millisecondsSince(start),
      ...(status !== null && { http_status: status }),
    };
    return failed(kind, { code, message, mayRetry, retryAfterMs: null }, detail);
  }
}

function tooLarge({ kind, body, route, detail }: EventPost): DeliveryOutcome {
  const message = `The body has ${body.length} bytes, and the route allows ${route.maxBodyBytes}.`;
  return failed(kind, { code: 'payload_too_large', message, mayRetry: false, retryAfterMs: null }, detail);
}

/** The headers of a route under those of the event. */
function over(route: EventPost['headers'], event: EventPost['headers']): EventPost['headers'] {
  return Object.keys(route).length === 0 ? event : { ...route, ...event };
}

function detailOf(post: EventPost, start: number, answer: GuardedAnswer): DeliveryOutcome['detail'] {
  const { status, body } = answer;
  // Spread last: V8 takes twenty times as long to add to an object that begins with a spread.
  const facts = {
    duration_ms: millisecondsSince(start),
    http_status: status,
    answer_bytes: body.length,
    ...post.detail,
  };
  if (status >= 200 && status < 300) return facts;
  const text = answerExcerpt(answer, post.body, [...post.secrets, ...keyInUrl(post.url)]);
  return text === null ? facts : { ...facts, answer_excerpt: text };
}

function millisecondsSince(start: number): number {
  return Math.round(performance.now() - start);
}

/** Path and query of a URL, where they are long enough to be a key; servers like to name them in an error. */
function keyInUrl(url: string): readonly string[] {
  const { pathname, search } = new URL(url);
  return pathname.length + search.length < SHORTEST_KEY ? [] : [pathname + search];
}
