import type { TryOutVerdict } from '../contracts/replay.ts';
import type { DeliveryOutcome } from './delivery-outcome.ts';
import type { DeliveryRequest } from './delivery-request.ts';
import type { DeliveryTargetKind } from './delivery-target-kind.ts';

/** What a target is given beside the request. */
export interface DeliveryTry {
  /** Aborted when the try has to end; what was sent by then has an unknown outcome. */
  readonly signal: AbortSignal;
  /** `config` of the route, an object; secrets only as names of `delivery.secrets`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Bytes to send, the same in every try; present exactly where the target has {@link DeliveryTarget.body}. */
  readonly body?: Buffer;
}

/** What trying a delivery out showed. */
export interface TryOut {
  readonly verdict: TryOutVerdict;
  /** Why it is unknown, how it would fail, or what else is to be known; no full stop, no secret. */
  readonly because: string | null;
}

/** Delivers events of one kind. Safe to be called by many at once. */
export interface DeliveryTarget {
  readonly kind: DeliveryTargetKind;
  /** False for a kind that has no configuration. */
  readonly isBuilt: boolean;
  /** What is wrong with a `target_ref` or a route's `config`, in one sentence; null where nothing is. */
  fault(targetRef: string, config: Readonly<Record<string, unknown>>): string | null;
  /** The bytes that leave the machine: a function of the request alone, so that they can be frozen and hashed. */
  body?(request: DeliveryRequest): Buffer;
  /**
   * One try. What went wrong is an outcome with its failure; an exception counts as a failure that may be tried again.
   * A repeat under the same idempotency key has no second effect.
   */
  deliver(request: DeliveryRequest, attempt: DeliveryTry): Promise<DeliveryOutcome>;
  /** Looks whether the target could be delivered to, without an event; throws a SluiceError that says what is missing. */
  inspect?(targetRef: string, config: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<void>;
  /**
   * Goes as far with a delivery as can be taken back, and takes it back: nothing is written and nobody outside is asked.
   * `fixed` says that a delivery now would not fail in any of that; a failure that may be over at another time is
   * `unknown`. Absent for a target that can only be tried by delivering.
   */
  tryOut?(request: DeliveryRequest, attempt: DeliveryTry): Promise<TryOut>;
  /** Lets go of connections. */
  close?(): Promise<void>;
}
