import { type DeliveryOutcome, failed, sent } from './delivery-outcome.ts';
import type { DeliveryTargetKind } from './delivery-target-kind.ts';
import type { GuardedAnswer } from './http/guarded-post.ts';
import { retryAfterMs } from './retry-after.ts';

/** Statuses below 500 after which another try may help: request timeout, too early, too many requests. */
const MAY_HELP_LATER = new Set([408, 425, 429]);
const GONE = 410;

/** What belongs to an outcome beside the answer. */
export interface OutcomeFacts {
  readonly kind: DeliveryTargetKind;
  readonly detail: DeliveryOutcome['detail'];
  /** The longest `Retry-After` that is honoured, in milliseconds. */
  readonly retryAfterMaxMs: number;
  /** Milliseconds since 1970, for a `Retry-After` that is a date. */
  readonly now: number;
}

/**
 * What an answer means: 2xx sent; 3xx refused, for good; 408, 425, 429 and 5xx may be tried again, not before
 * `Retry-After`; 410 switches the route off; everything else is final.
 */
export function httpOutcome(answer: GuardedAnswer, facts: OutcomeFacts): DeliveryOutcome {
  const { status, headers } = answer;
  if (status >= 200 && status < 300) return sent(facts.kind, facts.detail);
  const isRedirect = status >= 300 && status < 400;
  const mayRetry = status >= 500 || MAY_HELP_LATER.has(status);
  return failed(
    facts.kind,
    {
      code: isRedirect ? 'redirect_refused' : `http_${status}`,
      message: isRedirect
        ? `The target answered ${status}, and redirects are not followed.`
        : `The target answered ${status}${status === GONE ? ', it is gone for good' : ''}.`,
      mayRetry,
      retryAfterMs: mayRetry ? retryAfterMs(headers['retry-after'], facts.now, facts.retryAfterMaxMs) : null,
      ...(status === GONE && { disablesRoute: true }),
    },
    facts.detail,
  );
}
