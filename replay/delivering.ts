/** Deliveries that are made beside a replay, from the moment when it queues some. */
export class Delivering {
  readonly #deliver: (forMs: number, signal: AbortSignal) => Promise<unknown>;
  readonly #stop = new AbortController();
  readonly #broken = new AbortController();
  #running: Promise<void> | undefined;

  /**
   * @param deliver delivers what is queued; after `forMs` it begins nothing further, and ends with what is in flight. The
   * signal ends it sooner: what is in flight gets a moment and is settled
   */
  constructor(deliver: (forMs: number, signal: AbortSignal) => Promise<unknown>) {
    this.#deliver = deliver;
  }

  /** Aborted where deliveries broke off; its reason is the error. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  get hasStarted(): boolean {
    return this.#running !== undefined;
  }

  start(forMs: number): void {
    this.#running ??= this.#deliver(Math.max(0, forMs), this.#stop.signal).then(
      () => undefined,
      (error: unknown) => this.#broken.abort(error),
    );
  }

  /** Waits until what is in flight has ended; nothing further begins, since its time is over. */
  async finished(): Promise<void> {
    await this.#running;
    this.broken.throwIfAborted();
  }

  /** Ends it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
