import { setTimeout as delay } from 'node:timers/promises';

/** Waits until `look` gives something, and returns it. `look` may throw while what it looks for is not there yet. */
export async function waitFor<T>(look: () => Promise<T>, withinMs = 20_000): Promise<NonNullable<T>> {
  const until = Date.now() + withinMs;
  let last: unknown;
  while (Date.now() < until) {
    try {
      const found = await look();
      if (found !== null && found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    await delay(50);
  }
  throw new Error(`waited ${withinMs} ms in vain`, { cause: last });
}
