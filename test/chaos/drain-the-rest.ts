import { setTimeout as delay } from 'node:timers/promises';
import { chaosLine } from './chaos-line.ts';
import { runOnce } from './chaos-poller.ts';

/** Without an event decided. */
const STUCK_AFTER_MS = 120_000;

/**
 * Runs the worker until nothing is left for it: no transaction of the cluster was open before the run, so that its
 * horizon hid nothing, and it found and wrote nothing.
 */
export async function drainTheRest(url: () => string): Promise<void> {
  const line = await chaosLine(url, 'chaos drain');
  try {
    for (let until = Date.now() + STUCK_AFTER_MS; ; ) {
      const [row] = await line.query<{ settled: boolean }>(
        `select pg_snapshot_xmin(now_open) = pg_snapshot_xmax(now_open) as settled
           from pg_current_snapshot() as now_open`,
      );
      const { status, seen, attempts_written } = await runOnce(line, 5_000);
      if (row?.settled === true && status === 'ran' && seen === 0 && attempts_written === 0) return;
      if (seen > 0 || attempts_written > 0) until = Date.now() + STUCK_AFTER_MS;
      if (Date.now() > until) throw new Error('the worker has not come to an end');
      if (row?.settled !== true) await delay(20);
    }
  } finally {
    await line.close();
  }
}
