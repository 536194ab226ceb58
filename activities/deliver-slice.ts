import { hostname } from 'node:os';
import { activityInfo, Context } from '@temporalio/activity';
import {
  addDelivered,
  type DeliverResult,
  type DeliverSlice,
  type DeliverSliceInput,
  NOTHING_DELIVERED,
} from '../contracts/deliver.ts';
import { pumpDeliveries } from '../delivery/pump/pump-deliveries.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { withHeartbeat } from './heartbeat.ts';
import { toActivityFailure } from './report-failure.ts';
import { stepLimits } from './step-limits.ts';

const DOING = 'Delivering';

/**
 * Delivers what is due for `sliceMs`, or until nothing is and `forMs` is over. A cancellation ends it when what is in flight
 * is settled, ten seconds later at most, and its counts are returned all the same.
 *
 * Its heartbeat is what it has counted so far. After a lost worker the next attempt goes on from the newest one that
 * arrived; what the lost worker held comes back when its leases end, and is tried again under the same idempotency key.
 */
export function deliverSlice(dependencies: Pick<ActivityDependencies, 'openTarget' | 'registryOf'>) {
  return async ({ target: name, ...input }: DeliverSliceInput): Promise<DeliverSlice> => {
    const { attempt, heartbeatDetails } = activityInfo();
    const known = (heartbeatDetails as DeliverResult | undefined) ?? NOTHING_DELIVERED;
    const knownMs = known.seconds * 1_000;
    try {
      const target = await dependencies.openTarget(name);
      const registry = await dependencies.registryOf(target);
      const { cancellationSignal: signal } = Context.current();
      return await withHeartbeat<DeliverResult, DeliverSlice>(async (report) => {
        const { isDone, ...counts } = await pumpDeliveries({
          session: {
            url: target.url,
            applicationName: 'sluice:deliver',
            ...stepLimits({ target }, 'change'),
            schema: target.schema,
          },
          registry,
          concurrency: target.delivery.concurrency,
          leaseMs: target.delivery.leaseMs,
          worker: `worker ${process.pid}@${hostname()}`,
          idleMs: input.idleMs,
          forMs: Math.max(0, input.forMs - knownMs),
          sliceMs: Math.max(0, input.sliceMs - knownMs),
          signal,
          report: (newest) => report(addDelivered(known, newest)),
        });
        return { ...addDelivered(known, counts), isDone };
      });
    } catch (error) {
      throw toActivityFailure(mapDatabaseError(error, DOING), 'deliver', attempt);
    }
  };
}
