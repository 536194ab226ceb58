import { isGrpcCancelledError, isGrpcDeadlineError, isGrpcServiceError } from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import type { DeliveryFailure } from './delivery-outcome.ts';
import { TryEnded } from './within-try.ts';

/** Names of gRPC's status codes, by number. */
const STATUS = [
  'ok',
  'cancelled',
  'unknown',
  'invalid_argument',
  'deadline_exceeded',
  'not_found',
  'already_exists',
  'permission_denied',
  'resource_exhausted',
  'failed_precondition',
  'aborted',
  'out_of_range',
  'unimplemented',
  'internal',
  'unavailable',
  'data_loss',
  'unauthenticated',
];
/** The same request will not do another time. */
const FINAL = new Set(['invalid_argument', 'out_of_range', 'unimplemented']);

/**
 * What an error of a call to Temporal means for a delivery: whatever somebody can put right, a namespace or a permission
 * included, may be tried again; a request that the server calls wrong may not.
 */
export function temporalFailure(error: unknown): DeliveryFailure {
  if (error instanceof TryEnded || isGrpcDeadlineError(error) || isGrpcCancelledError(error)) {
    const message = error instanceof TryEnded ? error.message : 'Temporal gave no answer in time.';
    return { code: 'timeout', message, mayRetry: true, retryAfterMs: null };
  }
  if (error instanceof NamespaceNotFoundError) {
    const message = `Temporal has no namespace ${error.namespace}.`;
    return { code: 'namespace_not_found', message, mayRetry: true, retryAfterMs: null };
  }
  const status = statusOf(error);
  if (status === undefined) throw error;
  return {
    code: status === 'invalid_argument' ? 'request_invalid' : `temporal_${status}`,
    message: `Temporal answered ${status.replaceAll('_', ' ')}.`,
    mayRetry: !FINAL.has(status),
    retryAfterMs: null,
  };
}

/** The client wraps most errors of gRPC, not all. */
function statusOf(error: unknown): string | undefined {
  const cause = error instanceof Error && isGrpcServiceError(error.cause) ? error.cause : error;
  return isGrpcServiceError(cause) ? STATUS[cause.code] : undefined;
}
