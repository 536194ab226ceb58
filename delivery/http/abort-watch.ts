/** What ends when its caller gives up. */
export interface Abortable {
  giveUp(): void;
}

/** All that end with one signal. */
interface Watched {
  readonly underWay: Set<Abortable>;
  readonly onAbort: () => void;
}

/**
 * Ends what is under way when its signal is aborted. Those that share a signal share one listener, which goes with the last
 * of them: a signal looks through all its listeners for each that is added or removed.
 */
export class AbortWatch {
  readonly #watched = new WeakMap<AbortSignal, Watched>();

  add(signal: AbortSignal, one: Abortable): void {
    const known = this.#watched.get(signal);
    if (known !== undefined) {
      known.underWay.add(one);
      return;
    }
    const underWay = new Set([one]);
    const watched = { underWay, onAbort: () => giveUpAll(underWay) };
    this.#watched.set(signal, watched);
    signal.addEventListener('abort', watched.onAbort);
  }

  remove(signal: AbortSignal, one: Abortable): void {
    const watched = this.#watched.get(signal);
    if (watched === undefined || !watched.underWay.delete(one) || watched.underWay.size > 0) return;
    this.#watched.delete(signal);
    signal.removeEventListener('abort', watched.onAbort);
  }
}

function giveUpAll(underWay: ReadonlySet<Abortable>): void {
  for (const one of underWay) one.giveUp();
}
