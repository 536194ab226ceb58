import { SluiceError } from '../contracts/error-codes.ts';
import { type DeliveryOutcome, failed } from './delivery-outcome.ts';
import type { DeliveryRequest } from './delivery-request.ts';
import type { DeliveryTargetKind } from './delivery-target-kind.ts';

/** Why an idempotency key cannot go into a header, in one sentence without a full stop; null where it can. */
export function idempotencyKeyFault({ idempotencyKey }: DeliveryRequest): string | null {
  if (/^[\x21-\x7e]{1,512}$/.test(idempotencyKey)) return null;
  return 'The idempotency key is not of 1 to 512 visible ASCII characters';
}

/** The outcome of a request or config that no try can deliver. `what` has no full stop. */
export function requestRefused(
  kind: DeliveryTargetKind,
  code: 'request_invalid' | 'target_ref_malformed',
  what: string,
): DeliveryOutcome {
  return failed(kind, { code, message: `${what}.`, mayRetry: false, retryAfterMs: null });
}

/** The outcome where a secret cannot be had; somebody can put that right, so it may be tried again. */
export function secretUnresolved(kind: DeliveryTargetKind, error: unknown): DeliveryOutcome {
  if (!(error instanceof SluiceError)) throw error;
  return failed(kind, {
    code: 'secret_unresolved',
    message: error.text.what,
    mayRetry: true,
    retryAfterMs: null,
  });
}
