import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import type { DrainResult } from '../contracts/macro-activities.ts';
import { type Context, withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { healthOf } from './outbox-health.ts';
import { note, printResult } from './print.ts';

type DrainOptions = ChangeOptions & {
  readonly limit?: number;
  readonly batch: number;
  readonly cursor: string;
};

/** What `fn_iu_route_worker_run` answers. */
interface WorkerRun {
  readonly status: string;
  readonly seen: number;
  readonly attempts_written: number;
  readonly dead_lettered: number;
}

/** How often progress is said, in milliseconds. */
const SAY_EVERY_MS = 1_000;

/**
 * `sluice outbox drain`: routes what is there, each batch in a transaction of its own, so that ending it at any moment
 * loses nothing. A closed gate or another runner is no error: the status says so.
 */
export function outboxDrain(_: readonly string[], options: DrainOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const interrupted = untilInterrupted();
    try {
      const result = await drainNow(context, options, interrupted.signal);
      printResult(context.output, result, () => drainText(result));
      return interrupted.signal.aborted ? EXIT.interrupted : EXIT.done;
    } finally {
      interrupted.release();
    }
  });
}

function drainNow(context: Context, options: DrainOptions, signal: AbortSignal): Promise<DrainResult> {
  return withIuCore(context, 'drain', async ({ client, transact }) => {
    const { backlog } = await transact('read only', () => healthOf(client));
    const total = Math.min(backlog, options.limit ?? Number.POSITIVE_INFINITY);
    const sum = { events: 0, attempts: 0, deadLettered: 0, batches: 0, status: 'not_run' };
    const startedAt = performance.now();
    let saidAt = 0;
    if (options.dryRun === true) note(`dry run: ${total} events would be routed`);
    while (options.dryRun !== true && !signal.aborted) {
      const size = Math.min(options.batch, (options.limit ?? Number.POSITIVE_INFINITY) - sum.events);
      if (size < 1) break;
      const run = await transact('read write', async () => {
        const answered = await client.query<{ run: WorkerRun }>(
          'select fn_iu_route_worker_run($1, $2) as run',
          [options.cursor, size],
        );
        return answered.rows[0]?.run;
      });
      if (run === undefined) throw new Error('fn_iu_route_worker_run returned no row');
      sum.status = run.status;
      sum.events += run.seen;
      sum.attempts += run.attempts_written;
      sum.deadLettered += run.dead_lettered;
      sum.batches += 1;
      if (performance.now() - saidAt > SAY_EVERY_MS) {
        saidAt = performance.now();
        note(
          `drained ${sum.events} of ${Math.max(total, sum.events)} events (${percent(sum.events, total)} %)`,
        );
      }
      if (run.status !== 'ran' || run.seen < size) break;
    }
    const seconds = Math.round(performance.now() - startedAt) / 1_000;
    const { status, ...counts } = sum;
    return {
      ...counts,
      seconds,
      eventsPerSecond: seconds === 0 ? 0 : Math.round(sum.events / seconds),
      status,
    };
  });
}

function percent(done: number, total: number): number {
  return total === 0 ? 100 : Math.min(100, Math.round((100 * done) / total));
}

function drainText(result: DrainResult): string {
  const { events, attempts, deadLettered, batches, seconds, eventsPerSecond, status } = result;
  const rate = events === 0 ? '' : `, ${eventsPerSecond} events/s`;
  return `${status}: ${events} events, ${attempts} attempts, ${deadLettered} dead-lettered, ${batches} batches in ${seconds} s${rate}`;
}
