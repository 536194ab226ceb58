import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from './claim.ts';
import type { DeliveryQueue, SettleAnswer } from './delivery-queue.ts';
import { isRefusedData, isTransient } from './is-transient.ts';
import { isConnectionLost } from './lasting-session.ts';

/** The first pause before a settling is repeated, in milliseconds; it doubles up to the longest one. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/**
 * Records outcomes of a claim, and repeats that for as long as its lease lasts: over a lost connection, where nobody knows
 * whether it was committed, and after a transaction that lost against another one. What was settled before is refused the
 * second time. An outcome that the database cannot store is recorded without its words, and keeps no other back.
 *
 * @returns the answers of the database, one for each part that was settled; what is missing in them, nobody recorded
 * @throws any other error of the database
 */
export async function settleSurely(
  queue: DeliveryQueue,
  routeCode: string,
  claim: Claim,
  outcomes: readonly string[],
): Promise<readonly SettleAnswer[]> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return [await queue.settle(routeCode, claim.token, outcomes)];
    } catch (error) {
      if (isRefusedData(error)) return settleInParts(queue, routeCode, claim, outcomes, error);
      if (!isConnectionLost(error) && !isTransient(error)) throw error;
    }
    if (performance.now() + pause > claim.endsAt) return [];
    await delay(pause);
  }
}

async function settleInParts(
  queue: DeliveryQueue,
  routeCode: string,
  claim: Claim,
  outcomes: readonly string[],
  error: unknown,
): Promise<readonly SettleAnswer[]> {
  const [only] = outcomes;
  if (only === undefined) throw error;
  if (outcomes.length === 1) {
    const plain = withoutWords(only);
    if (plain === only) throw error;
    return settleSurely(queue, routeCode, claim, [plain]);
  }
  const half = Math.ceil(outcomes.length / 2);
  return [
    ...(await settleSurely(queue, routeCode, claim, outcomes.slice(0, half))),
    ...(await settleSurely(queue, routeCode, claim, outcomes.slice(half))),
  ];
}

function withoutWords(outcome: string): string {
  const { message, ...rest } = JSON.parse(outcome) as { message?: string };
  const said = message === undefined ? {} : { message: 'What the target said cannot be recorded.' };
  return JSON.stringify({ ...rest, ...said, detail: {} });
}
