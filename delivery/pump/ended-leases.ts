import type { DeliveryQueue } from './delivery-queue.ts';

/** Leases under which nothing is to be settled any more, until the database has ended them. */
export class EndedLeases {
  readonly #queue: DeliveryQueue;
  readonly #tokens = new Set<string>();

  constructor(queue: DeliveryQueue) {
    this.#queue = queue;
  }

  add(token: string): void {
    this.#tokens.add(token);
  }

  /** Gives back what they still hold. Where it cannot, they are kept for the next time. */
  async giveBack(): Promise<void> {
    if (this.#tokens.size === 0) return;
    const tokens = [...this.#tokens];
    await this.#queue.endLeases(tokens);
    for (const token of tokens) this.#tokens.delete(token);
  }
}
