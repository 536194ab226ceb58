import type { DeliveryQueue } from './delivery-queue.ts';

/**
 * The lock that a session holds while deliveries are under way, so that closing a gate waits for them. It is asked for once,
 * however many lanes need it.
 */
export class SessionLock {
  readonly #queue: DeliveryQueue;
  #entering: Promise<boolean> | undefined;
  #isHeld = false;

  constructor(queue: DeliveryQueue) {
    this.#queue = queue;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** False where a gate is being closed. */
  async enter(): Promise<boolean> {
    if (this.#isHeld) return true;
    this.#entering ??= this.#enter();
    return this.#entering;
  }

  async leave(): Promise<void> {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    await this.#queue.leave();
  }

  /** The session is gone, and the lock with it. */
  lost(): void {
    this.#isHeld = false;
    this.#entering = undefined;
  }

  async #enter(): Promise<boolean> {
    try {
      this.#isHeld = await this.#queue.enter();
      return this.#isHeld;
    } finally {
      this.#entering = undefined;
    }
  }
}
