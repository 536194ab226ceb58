import { hostname } from 'node:os';
import { activityInfo, Context } from '@temporalio/activity';
import {
  REPLAY_DEFAULTS,
  type ReplayProgress,
  type ReplaySlice,
  type ReplaySliceInput,
} from '../contracts/replay.ts';
import { pumpDeliveries } from '../delivery/pump/pump-deliveries.ts';
import { replayLoop } from '../replay/replay-loop.ts';
import { replayOnce } from '../replay/replay-once.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { withSession } from '../target/open-session.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { withHeartbeat } from './heartbeat.ts';
import { toActivityFailure } from './report-failure.ts';
import { stepLimits } from './step-limits.ts';

/** Pause of the deliveries beside a replay between two looks at a queue in which nothing is due, in milliseconds. */
const IDLE_MS = 100;

/** What a heartbeat tells: the progress, and how long the attempts of this slice have lasted. */
type Beat = ReplayProgress & { readonly elapsedMs: number };

/**
 * Replays letters of a plan for `sliceMs`, batch by batch, each its own transaction, and delivers what the plan queues
 * meanwhile. Rows know how far it has come, so an attempt that is lost is carried on by the next one, which ends when the
 * first would have. A worker that shuts down ends it early, once what is in flight is settled.
 */
export function replaySlice(dependencies: Pick<ActivityDependencies, 'openTarget' | 'registryOf'>) {
  return async (input: ReplaySliceInput): Promise<ReplaySlice> => {
    const { attempt, heartbeatDetails } = activityInfo();
    const elapsedBefore = (heartbeatDetails as Beat | undefined)?.elapsedMs ?? 0;
    const startedAt = performance.now();
    const elapsedMs = () => elapsedBefore + performance.now() - startedAt;
    const { planHash, runId, until } = input;
    const doing = `Replaying plan ${planHash.slice(0, 12)}`;
    try {
      const target = await dependencies.openTarget(input.target);
      const limits = stepLimits({ target }, 'change');
      const { cancellationSignal: signal } = Context.current();
      return await withHeartbeat<Beat, ReplaySlice>((report) =>
        withSession({ url: target.url, applicationName: 'sluice:replay' }, (client) =>
          replayLoop({
            step: (limit) =>
              replayOnce(client, (mode, work) => inTransaction(client, mode, limits, work), limit, {
                planHash,
                runId,
                until,
                window: REPLAY_DEFAULTS.window,
                statementTimeoutMs: limits.statementTimeoutMs,
                letterTimeoutMs: REPLAY_DEFAULTS.letterTimeoutMs,
                signal,
              }),
            deliver: async ({ forMs, ending, signal: stopped }) =>
              pumpDeliveries({
                session: {
                  url: target.url,
                  applicationName: 'sluice:replay:deliver',
                  ...limits,
                  schema: target.schema,
                },
                registry: await dependencies.registryOf(target),
                concurrency: target.delivery.concurrency,
                leaseMs: target.delivery.leaseMs,
                worker: `replay ${process.pid}@${hostname()}`,
                idleMs: IDLE_MS,
                forMs,
                sliceMs: forMs,
                ending,
                signal: stopped,
              }),
            batchSize: input.batchSize,
            sliceMs: Math.max(0, input.sliceMs - elapsedBefore),
            shownHold: input.shownHold,
            signal,
            report: (progress) => report({ ...progress, elapsedMs: elapsedMs() }),
          }),
        ),
      );
    } catch (error) {
      throw toActivityFailure(mapDatabaseError(error, doing), 'replay', attempt);
    }
  };
}
