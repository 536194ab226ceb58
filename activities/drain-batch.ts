import { activityInfo, CancelledFailure, Context, sleep } from '@temporalio/activity';
import type { DrainInput, DrainResult } from '../contracts/macro-activities.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { withSession } from '../target/open-session.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { withHeartbeat } from './heartbeat.ts';
import { toActivityFailure } from './report-failure.ts';
import { stepLimits } from './step-limits.ts';

/** What `fn_iu_route_worker_run` returns. */
interface WorkerRun {
  readonly status: string;
  readonly seen: number;
  readonly attempts_written: number;
  readonly dead_lettered: number;
}

/**
 * Drains batch by batch, each its own transaction, until nothing is left (or for `forMs`). Progress is the
 * heartbeat, so an attempt after a lost worker goes on counting; the events themselves are accounted for by the
 * cursor.
 */
export function drainBatch(dependencies: ActivityDependencies) {
  return async (input: DrainInput): Promise<DrainResult> => {
    const { attempt } = activityInfo();
    try {
      const target = await dependencies.openTarget(input.target);
      const settings = stepLimits({ target }, 'change');
      return await withHeartbeat<DrainResult, DrainResult>((report) =>
        withSession(
          { url: target.url, applicationName: `sluice:drain:${input.cursorCode}` },
          async (client) => {
            const before = activityInfo().heartbeatDetails as DrainResult | undefined;
            let total = before ?? {
              events: 0,
              attempts: 0,
              deadLettered: 0,
              batches: 0,
              seconds: 0,
              eventsPerSecond: 0,
              status: 'not_run',
            };
            const startedAt = Date.now();
            const secondsBefore = total.seconds;
            while (true) {
              const run = await inTransaction(client, 'read write', settings, async () => {
                const answered = await client.query<{ run: WorkerRun }>(
                  'select fn_iu_route_worker_run($1, $2) as run',
                  [input.cursorCode, input.batchSize],
                );
                return answered.rows[0]?.run;
              });
              if (run === undefined) throw new Error('fn_iu_route_worker_run returned no row');
              total = add(total, run, secondsBefore + (Date.now() - startedAt) / 1000);
              report(total);
              const isOver = total.seconds * 1000 >= input.forMs;
              const isEmpty = run.status !== 'ran' || run.seen < input.batchSize;
              if (Context.current().cancellationSignal.aborted)
                throw new CancelledFailure('the drain was cancelled');
              if (isEmpty && isOver) return total;
              if (isEmpty) await sleep(input.idleMs);
            }
          },
        ),
      );
    } catch (error) {
      if (error instanceof CancelledFailure) throw error;
      throw toActivityFailure(
        mapDatabaseError(error, `Draining cursor ${input.cursorCode}`),
        'drain',
        attempt,
      );
    }
  };
}

function add(total: DrainResult, run: WorkerRun, seconds: number): DrainResult {
  const events = total.events + (run.seen ?? 0);
  return {
    events,
    attempts: total.attempts + (run.attempts_written ?? 0),
    deadLettered: total.deadLettered + (run.dead_lettered ?? 0),
    batches: total.batches + 1,
    seconds,
    eventsPerSecond: seconds === 0 ? 0 : Math.round(events / seconds),
    status: run.status,
  };
}
