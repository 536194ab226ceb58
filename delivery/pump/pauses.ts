import { setTimeout as delay } from 'node:timers/promises';

const SHORTEST_MS = 20;

/** Pauses that somebody else may end early, though not before 20 ms. */
export class Pauses {
  #wake: () => void = () => undefined;

  wake(): void {
    this.#wake();
  }

  async sleep(milliseconds: number): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await delay(SHORTEST_MS);
    const ended = new AbortController();
    const slept = delay(Math.max(0, milliseconds - SHORTEST_MS), undefined, ended);
    await Promise.race([woken, slept.catch(() => undefined)]);
    ended.abort();
  }
}

/** Waits until something is so, or the time is over. */
export async function waitFor(isSo: () => boolean, withinMs: number): Promise<void> {
  for (const until = performance.now() + withinMs; !isSo() && performance.now() < until; ) await delay(10);
}
