import type { ClaimedDelivery } from './delivery-queue.ts';

/** Deliveries that came with one claim: they share a lease and its token. */
export interface Claim {
  readonly token: string;
  readonly leaseMs: number;
  /** Deliveries that are to be begun; the last one is next, so that nothing is kept of those that were. */
  readonly waiting: ClaimedDelivery[];
  /** When the lease is over at the earliest, by the clock of `performance.now()`. */
  endsAt: number;
  /** Tries under way. */
  inFlight: number;
  /** Outcomes that are to be settled, each as JSON. */
  outcomes: string[];
  /** Failures among them. */
  failures: number;
  /** Outcomes of it are being settled. */
  isBusy: boolean;
}

export function hasWaiting(claim: Claim): boolean {
  return claim.waiting.length > 0;
}

/** Whether nothing is left to do under its lease. */
export function isOver(claim: Claim): boolean {
  return !hasWaiting(claim) && claim.inFlight === 0 && claim.outcomes.length === 0 && !claim.isBusy;
}
