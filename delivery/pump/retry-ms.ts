import type { DeliveryFailure } from '../delivery-outcome.ts';
import { nextTryDelayMs } from '../next-try-delay.ts';

/** A request that was ended because deliveries stop. */
export const STOPPED: DeliveryFailure = {
  code: 'connection_cut',
  message: 'Deliveries were stopped before the target had answered; it may have the event.',
  mayRetry: true,
  retryAfterMs: null,
};
/** Pause before a delivery is tried again whose try was stopped at its last chance. */
const STOPPED_RETRY_MS = 5_000;
/** Pause before a delivery is tried again whose kind was built when it was claimed, and is no more. */
const UNBUILT_RETRY_MS = 60_000;

/**
 * When a failed delivery is tried again, in milliseconds from now; null: it becomes a dead letter. What was stopped from
 * here, or is unbuilt here, uses up no last chance. Where the route's own schedule is malformed, the default one holds.
 *
 * @param tries of this series, this one included
 */
export function retryMs(
  failure: DeliveryFailure,
  tries: number,
  config: Readonly<Record<string, unknown>>,
): number | null {
  if (failure.code === 'unbuilt') return UNBUILT_RETRY_MS;
  const delayMs = scheduled(failure, tries, config);
  return delayMs === null && failure === STOPPED ? STOPPED_RETRY_MS : delayMs;
}

function scheduled(
  failure: DeliveryFailure,
  tries: number,
  config: Readonly<Record<string, unknown>>,
): number | null {
  try {
    return nextTryDelayMs({ tries, failure, config });
  } catch {
    return nextTryDelayMs({ tries, failure, config: {} });
  }
}
