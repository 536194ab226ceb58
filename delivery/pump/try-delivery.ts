import { SluiceError } from '../../contracts/error-codes.ts';
import { DeliveryNotImplemented } from '../delivery-not-implemented.ts';
import {
  checkDeliveryOutcome,
  type DeliveryFailure,
  type DeliveryOutcome,
  failed,
} from '../delivery-outcome.ts';
import { type DeliveryRegistry, resolveDeliveryTarget } from '../delivery-registry.ts';
import { readDeliveryRequest } from '../delivery-request.ts';
import type { DeliveryTargetKind } from '../delivery-target-kind.ts';
import type { ClaimedDelivery } from './delivery-queue.ts';

export interface TryOptions {
  readonly config: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
}

export interface TriedDelivery {
  readonly outcome: DeliveryOutcome;
  /** The bytes that were, or would have been, sent; absent for a target without a body. */
  readonly body: Buffer | undefined;
}

/** One try of a claimed delivery, with the bytes of the try before it. It never throws: whatever is raised is a failure. */
export async function tryDelivery(
  registry: DeliveryRegistry,
  delivery: ClaimedDelivery,
  { config, signal }: TryOptions,
): Promise<TriedDelivery> {
  let body: Buffer | undefined;
  let kind: DeliveryTargetKind = 'external_endpoint';
  let isPrepared = false;
  try {
    const request = readDeliveryRequest(JSON.parse(delivery.request), delivery.payload);
    kind = request.targetKind;
    const target = resolveDeliveryTarget(registry, kind);
    if (target.body !== undefined) body = delivery.body ?? target.body(request);
    isPrepared = true;
    const attempt = body === undefined ? { signal, config } : { signal, config, body };
    return { outcome: checkDeliveryOutcome(await target.deliver(request, attempt)), body };
  } catch (error) {
    return { outcome: failed(kind, failureOf(error, isPrepared)), body };
  }
}

/** What other errors say is left out: it may quote a header or an address with a secret in it. */
function failureOf(error: unknown, isPrepared: boolean): DeliveryFailure {
  if (error instanceof DeliveryNotImplemented)
    return { code: 'unbuilt', message: error.message, mayRetry: true, retryAfterMs: null };
  if (error instanceof SluiceError) {
    return isPrepared
      ? { code: 'target_raised', message: error.message, mayRetry: true, retryAfterMs: null }
      : { code: 'request_invalid', message: error.message, mayRetry: false, retryAfterMs: null };
  }
  const name = error instanceof Error ? error.name : typeof error;
  const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
  return {
    code: 'target_raised',
    message: `The target raised ${name}${code}.`,
    mayRetry: true,
    retryAfterMs: null,
  };
}
