import { setTimeout as delay } from 'node:timers/promises';
import { isRunning, type ProcessIdentity } from './process-identity.ts';

/**
 * Sends the first signal, waits, then the next, until the process is gone. Never signals another process
 * that got the same pid. Resolves to whether it is gone.
 * @param steps signals in order, each with the milliseconds it is given
 */
export async function stopProcess(
  known: ProcessIdentity,
  steps: readonly { readonly signal: NodeJS.Signals; readonly withinMs: number }[],
): Promise<boolean> {
  for (const { signal, withinMs } of steps) {
    if (!isRunning(known)) return true;
    try {
      process.kill(known.pid, signal);
    } catch {
      return !isRunning(known);
    }
    const until = Date.now() + withinMs;
    while (Date.now() < until) {
      if (!isRunning(known)) return true;
      await delay(20);
    }
  }
  return !isRunning(known);
}
