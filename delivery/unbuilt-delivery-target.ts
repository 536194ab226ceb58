import { DeliveryNotImplemented } from './delivery-not-implemented.ts';
import type { DeliveryTarget } from './delivery-target.ts';
import type { DeliveryTargetKind } from './delivery-target-kind.ts';

/** The target of a kind without configuration: it refuses whatever it is asked, with {@link DeliveryNotImplemented}. */
export function unbuiltDeliveryTarget(kind: DeliveryTargetKind): DeliveryTarget {
  const refuse = async (): Promise<never> => {
    throw new DeliveryNotImplemented(kind);
  };
  return { kind, isBuilt: false, fault: () => null, deliver: refuse, inspect: refuse };
}
