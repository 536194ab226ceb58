import { SluiceError } from '../contracts/error-codes.ts';
import type { DeliveryTargetKind } from './delivery-target-kind.ts';

export const DELIVERY_STATUSES = ['sent', 'failed', 'skipped'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** Why a delivery failed, and whether another try may help. */
export interface DeliveryFailure {
  /** Stable code, such as `http_503`, `connect_timeout`, `address_refused`. */
  readonly code: string;
  /** One sentence without any secret. */
  readonly message: string;
  /** False: a dead letter at once. */
  readonly mayRetry: boolean;
  /** How long the target asked to be left alone, in milliseconds; null where it said nothing. */
  readonly retryAfterMs: number | null;
  /** The target is gone for good (410): its route is switched off. */
  readonly disablesRoute?: boolean;
}

/** What became of one try. */
export interface DeliveryOutcome {
  readonly status: DeliveryStatus;
  /** Whether the target has it; only ever true with `sent`. */
  readonly delivered: boolean;
  readonly targetKind: DeliveryTargetKind;
  /** For the audit row: plain facts, no secret, no payload. */
  readonly detail: Readonly<Record<string, unknown>>;
  /** Present exactly when `status` is `failed`. */
  readonly failure?: DeliveryFailure;
}

/**
 * An outcome that may be recorded, returned as it is.
 *
 * @throws SluiceError `delivery_invalid` where it says `delivered` without `sent`, an unknown status, or a failure
 * without its reason
 */
export function checkDeliveryOutcome(outcome: DeliveryOutcome): DeliveryOutcome {
  const { status, delivered, failure } = outcome;
  const fault = !DELIVERY_STATUSES.includes(status)
    ? `status \`${String(status)}\` is unknown`
    : delivered && status !== 'sent'
      ? `it says delivered, and its status is ${status}`
      : (status === 'failed') !== (failure !== undefined)
        ? 'a failure and its reason come together'
        : null;
  if (fault === null) return outcome;
  throw new SluiceError('delivery_invalid', {
    what: `The outcome of a delivery cannot be recorded: ${fault}.`,
    expected: `Status ${DELIVERY_STATUSES.join(', ')}; delivered only with sent; a reason only with failed.`,
    safe: 'It is recorded as failed. The target may have the event; its idempotency key keeps a repeat without effect.',
  });
}

/** The outcome of a target that has the event. */
export function sent(
  targetKind: DeliveryTargetKind,
  detail: DeliveryOutcome['detail'] = {},
): DeliveryOutcome {
  return { status: 'sent', delivered: true, targetKind, detail };
}

/** The outcome of a target that does not have the event, or of which nobody knows. */
export function failed(
  targetKind: DeliveryTargetKind,
  failure: DeliveryFailure,
  detail: DeliveryOutcome['detail'] = {},
): DeliveryOutcome {
  return { status: 'failed', delivered: false, targetKind, detail, failure };
}
