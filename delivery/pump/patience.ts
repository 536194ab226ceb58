import { isTransient } from './is-transient.ts';
import { isConnectionLost } from './lasting-session.ts';

/** Looks in a row that may lose against another transaction. */
const LOST_LOOKS = 10;

/** How long looks at the queue may fail in a row: over a lost connection as long as a lease lasts. */
export class Patience {
  readonly #leaseMs: number;
  #unreachableSince: number | undefined;
  #lostLooks = 0;

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  /** A look went well. */
  renew(): void {
    this.#unreachableSince = undefined;
    this.#lostLooks = 0;
  }

  /** @throws the error, where it is not to be waited for, or not any longer */
  bear(error: unknown): void {
    const now = performance.now();
    if (isConnectionLost(error)) {
      this.#unreachableSince ??= now;
      if (now - this.#unreachableSince > this.#leaseMs) throw error;
    } else {
      this.#lostLooks += 1;
      if (!isTransient(error) || this.#lostLooks > LOST_LOOKS) throw error;
    }
  }
}
