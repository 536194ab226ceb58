/**
 * A rate of letters as tokens: each letter takes one, and they come back evenly. At most one second's worth is kept, so that
 * what was not used, during a hold for example, never comes as a flood. It begins with one.
 */
export class Pace {
  readonly #nowMs: () => number;
  #ratePerSecond: number | null = null;
  #tokens = 1;
  #countedAtMs: number;

  /** @param nowMs a clock in milliseconds that never goes back */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
    this.#countedAtMs = nowMs();
  }

  /** @param ratePerSecond letters per second; null: as fast as it goes */
  set(ratePerSecond: number | null): void {
    if (ratePerSecond === this.#ratePerSecond) return;
    this.#count();
    this.#ratePerSecond = ratePerSecond;
    this.#tokens = Math.min(this.#tokens, this.#most);
  }

  /** Letters that may be tried now, `most` at most. */
  take(most: number): number {
    if (this.#ratePerSecond === null) return most;
    this.#count();
    return Math.min(most, Math.floor(this.#tokens));
  }

  /** Says that so many letters were tried. */
  spend(letters: number): void {
    this.#count();
    if (this.#ratePerSecond !== null) this.#tokens -= letters;
  }

  /**
   * Milliseconds until a batch is worth its transaction: a tenth of a second's worth of letters, one at least and `most`
   * at most; 0 where it is already.
   */
  waitMs(most: number): number {
    const rate = this.#ratePerSecond;
    if (rate === null) return 0;
    this.#count();
    const missing = Math.min(most, Math.max(1, rate / 10)) - this.#tokens;
    return missing <= 0 ? 0 : Math.ceil((missing / rate) * 1_000);
  }

  get #most(): number {
    return Math.max(1, this.#ratePerSecond ?? 1);
  }

  #count(): void {
    const now = this.#nowMs();
    const rate = this.#ratePerSecond ?? 0;
    this.#tokens = Math.min(this.#most, this.#tokens + ((now - this.#countedAtMs) / 1_000) * rate);
    this.#countedAtMs = now;
  }
}
