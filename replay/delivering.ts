/** How deliveries are made beside a replay. */
export interface DeliveringOptions {
  /** After so many milliseconds nothing further begins; what is in flight goes on to its own end. */
  readonly forMs: number;
  /** From then on nothing further begins, too. */
  readonly ending: AbortSignal;
  /** Ends it sooner: what is in flight gets a moment and is settled. */
  readonly signal: AbortSignal;
}

/** Deliveries that are made beside a replay, from the moment when it queues some. */
export class Delivering {
  readonly #deliver: (options: DeliveringOptions) => Promise<unknown>;
  readonly #signal: AbortSignal;
  readonly #ending = new AbortController();
  readonly #broken = new AbortController();
  #running: Promise<void> | undefined;

  /** @param signal ends what is in flight, too */
  constructor(deliver: (options: DeliveringOptions) => Promise<unknown>, signal: AbortSignal) {
    this.#deliver = deliver;
    this.#signal = signal;
  }

  /** Aborted where deliveries broke off; its reason is the error. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  get hasStarted(): boolean {
    return this.#running !== undefined;
  }

  /** Nothing further begins, and it cannot be started again. */
  get isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  start(forMs: number): void {
    const [ending, signal] = [this.#ending.signal, this.#signal];
    this.#running ??= this.#deliver({ forMs: Math.max(0, forMs), ending, signal }).then(
      () => undefined,
      (error: unknown) => this.#broken.abort(error),
    );
  }

  /** Lets nothing further begin. */
  end(): void {
    this.#ending.abort();
  }

  /** Lets nothing further begin, and waits until what is in flight has ended. */
  async ended(): Promise<void> {
    this.end();
    await this.#running;
  }
}
