const LARGEST_CLAIM = 1_000;
/** A claim that was worked off sooner is followed by one of twice its size; one that took longer, by half. */
const SHORT_CLAIM_MS = 500;
const LONG_CLAIM_MS = 2_000;

/** How many deliveries a lane claims at once: about one second of work. */
export class ClaimSize {
  readonly #smallest: number;
  #size: number;
  #claimedAt = Number.NEGATIVE_INFINITY;

  constructor(concurrency: number) {
    this.#smallest = concurrency;
    this.#size = concurrency;
  }

  /** So many may wait to be begun before the next claim. */
  get enough(): number {
    return Math.max(this.#smallest, this.#size / 2);
  }

  /** The size of a claim that is made now. */
  next(): number {
    const now = performance.now();
    const tookMs = now - this.#claimedAt;
    this.#claimedAt = now;
    if (tookMs < SHORT_CLAIM_MS) this.#size *= 2;
    else if (tookMs > LONG_CLAIM_MS) this.#size = Math.ceil(this.#size / 2);
    this.#size = Math.min(LARGEST_CLAIM, Math.max(this.#smallest, this.#size));
    return this.#size;
  }
}
