import type { Claim } from './claim.ts';
import type { DeliveryQueue, SettleAnswer } from './delivery-queue.ts';
import { settleSurely } from './settle-surely.ts';

/** So many outcomes are settled at once, and fewer when the first of them has waited so long, in milliseconds. */
const SETTLE_AT = 500;
const SETTLE_WITHIN_MS = 50;
const SETTLE_FAILURE_WITHIN_MS = 5;
const LARGEST_SETTLING = 1_000;
/** Outcomes that may wait for the database before nothing further is begun. */
const MOST_UNSETTLED = 4_000;

export interface SettlerOptions {
  readonly queue: DeliveryQueue;
  readonly routeCode: string;
  /** Claims that may have outcomes, the oldest first. */
  readonly claims: readonly Claim[];
  /** Failures that may wait: the breaker has to hear of them before more are made. */
  readonly mostFailures: number;
  /** Called for each answer of the database. */
  readonly answered: (answer: SettleAnswer) => void;
  /** Called with the number of outcomes that nobody recorded while their lease lasted. */
  readonly missed: (outcomes: number) => void;
  readonly failed: (error: unknown) => void;
  /** Called after each round. */
  readonly settled: () => void;
}

/** Settles the outcomes of one lane as they gather, one round at a time. */
export class Settler {
  readonly #options: SettlerOptions;
  #waiting = 0;
  #failures = 0;
  #isSettling = false;
  #timer: NodeJS.Timeout | undefined;
  /** What the timer was set to; infinite while none is set. */
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(options: SettlerOptions) {
    this.#options = options;
  }

  /** Whether so much waits to be recorded that nothing further should be begun. */
  get isBehind(): boolean {
    return this.#waiting >= MOST_UNSETTLED || this.#failures >= this.#options.mostFailures;
  }

  add(claim: Claim, outcome: string, isFailure: boolean): void {
    claim.outcomes.push(outcome);
    this.#waiting += 1;
    if (isFailure) {
      claim.failures += 1;
      this.#failures += 1;
    }
  }

  /** Settles at once what is there, or soon. */
  settleSoon(isLast: boolean): void {
    if (this.#isSettling || this.#waiting === 0) return;
    const withinMs = this.#failures > 0 ? SETTLE_FAILURE_WITHIN_MS : SETTLE_WITHIN_MS;
    if (isLast || this.#waiting >= SETTLE_AT) void this.#settle();
    else if (withinMs < this.#timerMs) {
      clearTimeout(this.#timer);
      this.#timerMs = withinMs;
      this.#timer = setTimeout(() => void this.#settle(), withinMs);
    }
  }

  async #settle(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timerMs = Number.POSITIVE_INFINITY;
    if (this.#isSettling) return;
    this.#isSettling = true;
    for (const claim of [...this.#options.claims])
      if (claim.outcomes.length > 0) await this.#settleClaim(claim);
    this.#isSettling = false;
    this.#options.settled();
  }

  async #settleClaim(claim: Claim): Promise<void> {
    const { queue, routeCode, answered, missed, failed } = this.#options;
    const outcomes = claim.outcomes.splice(0, LARGEST_SETTLING);
    const { failures } = claim;
    let missing = outcomes.length;
    claim.failures = 0;
    claim.isBusy = true;
    try {
      for (const answer of await settleSurely(queue, routeCode, claim, outcomes)) {
        missing -= answer.settled + answer.refused;
        answered(answer);
      }
    } catch (error) {
      failed(error);
    } finally {
      claim.isBusy = false;
      this.#waiting -= outcomes.length;
      this.#failures -= failures;
      if (missing > 0) missed(missing);
    }
  }
}
