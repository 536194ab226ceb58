import { activityInfo, CancelledFailure, Context, sleep } from '@temporalio/activity';
import {
  addDrained,
  DRAIN_DEFAULTS,
  type DrainResult,
  type DrainSlice,
  type DrainSliceInput,
  NOTHING_DRAINED,
} from '../contracts/drain.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { withSession } from '../target/open-session.ts';
import type { Transact } from '../target/transact.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { type BatchOptions, drainOnce, type WorkerRun } from './drain-once.ts';
import { withHeartbeat } from './heartbeat.ts';
import { toActivityFailure } from './report-failure.ts';
import { stepLimits } from './step-limits.ts';

/**
 * Drains batch by batch, each its own transaction, for `sliceMs` or until nothing is left and `forMs` is over. A
 * cancellation ends it after the batch at work, and its counts are returned all the same.
 *
 * Its heartbeat is what it has counted so far. After a lost worker the next attempt goes on from the newest one that
 * arrived: no event is decided twice, since the cursor accounts for them; no event is counted twice; what the lost
 * worker did after that heartbeat (two seconds at most, and the batch at work) is missing in the counts.
 */
export function drainSlice(dependencies: ActivityDependencies) {
  return async (input: DrainSliceInput): Promise<DrainSlice> => {
    const { attempt } = activityInfo();
    try {
      const target = await dependencies.openTarget(input.target);
      const settings = stepLimits({ target }, 'change');
      const { cancellationSignal: signal } = Context.current();
      const options: BatchOptions = {
        cursorCode: input.cursorCode,
        batchSize: input.batchSize,
        statementTimeoutMs: settings.statementTimeoutMs,
        eventTimeoutMs: input.eventTimeoutMs ?? DRAIN_DEFAULTS.eventTimeoutMs,
        signal,
      };
      return await withHeartbeat<DrainResult, DrainSlice>((report) =>
        withSession(
          { url: target.url, applicationName: `sluice:drain:${input.cursorCode}` },
          async (client) => {
            const known = (activityInfo().heartbeatDetails as DrainResult | undefined) ?? NOTHING_DRAINED;
            const startedAt = performance.now();
            let counted = known;
            const elapsedMs = () => known.seconds * 1_000 + performance.now() - startedAt;
            const transact: Transact = (mode, work) => inTransaction(client, mode, settings, work);
            while (true) {
              const run = await drainOnce(client, transact, options).catch((error: unknown) => {
                // Who cancelled while the batch was tried again is told what was counted before it.
                if (!signal.aborted) throw error;
              });
              if (run === undefined) return { ...counted, isDone: false };
              counted = count(counted, run, elapsedMs());
              report(counted);
              if (signal.aborted) return { ...counted, isDone: false };
              const isEmpty = run.status !== 'ran' || run.seen < input.batchSize;
              if (isEmpty && elapsedMs() >= input.forMs) return { ...counted, isDone: true };
              if (elapsedMs() >= input.sliceMs) return { ...counted, isDone: false };
              if (isEmpty) await pause(input.idleMs);
              if (signal.aborted) return { ...counted, isDone: false };
            }
          },
        ),
      );
    } catch (error) {
      throw toActivityFailure(
        mapDatabaseError(error, `Draining cursor ${input.cursorCode}`),
        'drain',
        attempt,
      );
    }
  };
}

function count(before: DrainResult, run: WorkerRun, elapsedMs: number): DrainResult {
  return addDrained(before, {
    events: run.seen ?? 0,
    attempts: run.attempts_written ?? 0,
    deadLettered: run.dead_lettered ?? 0,
    batches: 1,
    seconds: elapsedMs / 1_000 - before.seconds,
    eventsPerSecond: 0,
    status: run.status,
  });
}

/** A pause that a cancellation ends. */
async function pause(milliseconds: number): Promise<void> {
  await sleep(milliseconds).catch((error: unknown) => {
    if (!(error instanceof CancelledFailure)) throw error;
  });
}
