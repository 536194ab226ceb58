/**
 * Runs `work` and calls `report` at once, then every `everyMs` until the work ends, so that a caller's
 * heartbeat goes on while nothing else is heard. A report that fails or lags is dropped.
 */
export async function whileReporting<T>(
  everyMs: number,
  report: () => Promise<void> | void,
  work: () => Promise<T>,
): Promise<T> {
  let busy = false;
  const tick = async () => {
    if (busy) return;
    busy = true;
    try {
      await report();
    } catch {
      // The next tick reports again.
    } finally {
      busy = false;
    }
  };
  void tick();
  const timer = setInterval(() => void tick(), everyMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
