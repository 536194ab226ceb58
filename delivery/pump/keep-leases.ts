import { type Claim, hasWaiting } from './claim.ts';
import type { DeliveryQueue } from './delivery-queue.ts';
import type { RouteLane } from './route-lane.ts';

/** Renews the leases of which a third has passed. What is somebody else's by now is ended in its lane. */
export async function keepLeases(queue: DeliveryQueue, lanes: Iterable<RouteLane>): Promise<void> {
  const now = performance.now();
  const due = new Map<number, Map<Claim, RouteLane>>();
  for (const lane of lanes) {
    for (const claim of lane.claims) {
      if (claim.endsAt - now > (claim.leaseMs * 2) / 3) continue;
      const sameLease = due.get(claim.leaseMs) ?? new Map<Claim, RouteLane>();
      due.set(claim.leaseMs, sameLease.set(claim, lane));
    }
  }
  for (const [leaseMs, claims] of due) {
    const endsAt = performance.now() + leaseMs;
    const tokens = [...claims.keys()].map(({ token }) => token);
    const held = new Set(await queue.renew(tokens, leaseMs));
    for (const [claim, lane] of claims) {
      if (held.has(claim.token)) claim.endsAt = endsAt;
      else if (claim.inFlight > 0 || hasWaiting(claim)) lane.loseLease(claim);
    }
  }
}
