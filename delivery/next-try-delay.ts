import type { DeliveryFailure } from './delivery-outcome.ts';
import { routeRetry } from './route-retry.ts';

/** What decides on the next try. */
export interface FailedTry {
  /** Tries made in this series, this one included; at least 1. */
  readonly tries: number;
  readonly failure: DeliveryFailure;
  /** `config` of the route. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Gives numbers from 0 to below 1. */
  readonly random?: () => number;
}

/**
 * How long to wait before the next try, in whole milliseconds; null where there is none left, so a dead letter.
 * Full jitter: anything between 0 and the step of the schedule, so that failed deliveries do not come back
 * together. `Retry-After` raises it to what the target asked for, up to the route's ceiling.
 *
 * @throws SluiceError `route_refused` where `retry` of the config is malformed
 */
export function nextTryDelayMs({ tries, failure, config, random = Math.random }: FailedTry): number | null {
  if (!failure.mayRetry) return null;
  const { schedule, retryAfterMaxMs } = routeRetry(config);
  const step = schedule[tries];
  if (step === undefined) return null;
  const asked = Math.min(Math.max(0, failure.retryAfterMs ?? 0), retryAfterMaxMs);
  return Math.max(Math.floor(random() * (step + 1)), Math.ceil(asked));
}
