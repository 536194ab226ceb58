import { SluiceError } from '../contracts/error-codes.ts';
import type { DeliveryTargetKind } from './delivery-target-kind.ts';

/** A kind of target that nothing delivers to: it has no configuration. The seam fails closed. */
export class DeliveryNotImplemented extends SluiceError {
  constructor(kind: DeliveryTargetKind) {
    super('delivery_not_built', {
      what: `Delivery to a target of kind ${kind} is not built here.`,
      expected: `\`delivery.${kind}\` in the configuration of this worker.`,
      safe: 'Nothing was delivered; what is queued stays queued.',
    });
    this.name = 'DeliveryNotImplemented';
  }
}
