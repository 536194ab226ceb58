import type pg from 'pg';
import { drainOnce } from '../activities/drain-once.ts';
import { DRAIN_DEFAULTS, type DrainResult } from '../contracts/drain.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { actorOf } from './actor.ts';
import { type Context, withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { actingAs } from './outbox-acting-as.ts';
import { note, printResult } from './print.ts';

type DrainOptions = ChangeOptions & {
  readonly limit?: number;
  readonly batch: number;
  readonly cursor: string;
};

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
  const control = { actor: actorOf(options, context.env), reason: options.reason };
  const limit = options.limit ?? Number.POSITIVE_INFINITY;
  return withIuCore(context, 'drain', async (given) => {
    const { client, target, transact } = given;
    const backlog = await transact('read only', () => readBacklog(client, options)).catch(unlessUnreadable);
    const total = backlog === null ? null : Math.min(backlog, limit);
    const sum = { events: 0, attempts: 0, deadLettered: 0, batches: 0, status: 'not_run' };
    const startedAt = performance.now();
    let saidAt = Number.NEGATIVE_INFINITY;
    if (options.dryRun === true) note(`dry run: ${total ?? 'an unknown number of'} events would be routed`);
    const changing = actingAs(given, control);
    while (options.dryRun !== true && !signal.aborted) {
      const size = Math.min(options.batch, limit - sum.events);
      if (size < 1) break;
      const run = await drainOnce(client, (_, statements) => changing(statements), {
        cursorCode: options.cursor,
        batchSize: size,
        statementTimeoutMs: target.statementTimeoutMs.change,
        eventTimeoutMs: DRAIN_DEFAULTS.eventTimeoutMs,
        signal,
      });
      sum.status = run.status;
      sum.events += run.seen;
      sum.attempts += run.attempts_written;
      sum.deadLettered += run.dead_lettered;
      sum.batches += 1;
      if (performance.now() - saidAt > SAY_EVERY_MS) {
        saidAt = performance.now();
        note(`drained ${ofTotal(sum.events, total)}`);
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

/** Events ahead of the cursor. @throws SluiceError `target_read_only` on a standby, where no run is possible */
async function readBacklog(client: pg.Client, { cursor }: DrainOptions): Promise<number> {
  const found = await client.query<{ standby: boolean; events: string }>(
    `select
       pg_is_in_recovery() as standby,
       (
         select coalesce(sum(v_iu_event_backlog.events), 0)
         from v_iu_event_backlog
         where v_iu_event_backlog.cursor_code = $1
       ) as events`,
    [cursor],
  );
  if (found.rows[0]?.standby === true) {
    throw new SluiceError('target_read_only', {
      what: 'The target is a standby: it is in recovery.',
      expected: 'The primary of the cluster.',
      safe: 'Nothing was changed.',
    });
  }
  return Number(found.rows[0]?.events);
}

/** Progress is no reason to fail: who may run the worker and read no table, or cannot count in time, drains without a total. */
function unlessUnreadable(error: unknown): null {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === '42501' || code === '57014') return null;
  throw error;
}

function ofTotal(events: number, total: number | null): string {
  if (total === null) return `${events} events`;
  const percent = total === 0 ? 100 : Math.min(100, Math.round((100 * events) / total));
  return `${events} of ${Math.max(total, events)} events (${percent} %)`;
}

function drainText(result: DrainResult): string {
  const { events, attempts, deadLettered, batches, seconds, eventsPerSecond, status } = result;
  const rate = events === 0 ? '' : `, ${eventsPerSecond} events/s`;
  return `${status}: ${events} events, ${attempts} attempts, ${deadLettered} dead-lettered, ${batches} batches in ${seconds} s${rate}`;
}
