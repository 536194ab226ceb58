import { addDelivered, type DeliverResult, NOTHING_DELIVERED } from '../../contracts/deliver.ts';
import type { SettleAnswer } from './delivery-queue.ts';

/** Counts what was settled. */
export class Tally {
  readonly #startedAt = performance.now();
  readonly #sum = { sent: 0, skipped: 0, failed: 0, retried: 0, deadLettered: 0, refused: 0 };

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  add({ sent, skipped, retried, dead_lettered, refused }: SettleAnswer): void {
    this.#sum.sent += sent;
    this.#sum.skipped += skipped;
    this.#sum.failed += retried + dead_lettered;
    this.#sum.retried += retried;
    this.#sum.deadLettered += dead_lettered;
    this.#sum.refused += refused;
  }

  refuse(outcomes: number): void {
    this.#sum.refused += outcomes;
  }

  result(inFlight: number, status: string): DeliverResult {
    const counted = { ...this.#sum, inFlight, seconds: this.elapsedMs / 1_000, perSecond: 0, status };
    return addDelivered(NOTHING_DELIVERED, counted);
  }
}
