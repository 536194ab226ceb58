import { SluiceError } from '../contracts/error-codes.ts';
import { checkDeliveryOutcome, type DeliveryOutcome } from './delivery-outcome.ts';
import { checkDeliveryRequest, type DeliveryRequest } from './delivery-request.ts';
import type { DeliveryTarget, DeliveryTry } from './delivery-target.ts';
import {
  DELIVERY_TARGET_KINDS,
  type DeliveryTargetKind,
  isDeliveryTargetKind,
} from './delivery-target-kind.ts';
import { unbuiltDeliveryTarget } from './unbuilt-delivery-target.ts';

/** One target for every kind. */
export type DeliveryRegistry = ReadonlyMap<DeliveryTargetKind, DeliveryTarget>;

/** Every kind unbuilt, but for the targets that are given. */
export function deliveryRegistry(built: readonly DeliveryTarget[] = []): DeliveryRegistry {
  const targets = new Map<DeliveryTargetKind, DeliveryTarget>(
    DELIVERY_TARGET_KINDS.map((kind) => [kind, unbuiltDeliveryTarget(kind)]),
  );
  for (const target of built) targets.set(target.kind, target);
  return targets;
}

/** The target of a kind. @throws SluiceError `delivery_invalid` for an unknown kind */
export function resolveDeliveryTarget(registry: DeliveryRegistry, kind: string): DeliveryTarget {
  const target = isDeliveryTargetKind(kind) ? registry.get(kind) : undefined;
  if (target !== undefined) return target;
  throw new SluiceError('delivery_invalid', {
    what: `Kind \`${kind}\` of a target is unknown.`,
    expected: `One of ${DELIVERY_TARGET_KINDS.join(', ')}.`,
    safe: 'Nothing was delivered.',
  });
}

/**
 * Hands a request to the target of its kind, and its outcome back.
 *
 * @throws DeliveryNotImplemented for an unbuilt kind; SluiceError `delivery_invalid` for a bad request or outcome
 */
export async function dispatchDelivery(
  registry: DeliveryRegistry,
  request: DeliveryRequest,
  attempt: DeliveryTry,
): Promise<DeliveryOutcome> {
  const target = resolveDeliveryTarget(registry, checkDeliveryRequest(request).targetKind);
  return checkDeliveryOutcome(await target.deliver(request, attempt));
}

/** True while no kind is built: then nothing whatever can be delivered. */
export function seamIsFailClosed(registry: DeliveryRegistry): boolean {
  return [...registry.values()].every((target) => !target.isBuilt);
}
