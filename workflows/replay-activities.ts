import { type ActivityOptions, proxyActivities, workflowInfo } from '@temporalio/workflow';
import { deliveryTaskQueue } from '../contracts/names.ts';
import type { ReplayActivities, ReplaySliceActivities } from '../contracts/replay.ts';

/**
 * Options of the activities of a replay: they are tried for as long as the target does not answer. What is final is made
 * so by the activity.
 */
const OPTIONS: ActivityOptions = {
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '10 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
};

/** What opens, steers and closes a replay; summaries are given at each call. */
export const replayActivities = proxyActivities<ReplayActivities>(OPTIONS);

/** What replays, on the task queue of deliveries. */
export const replaySlices = proxyActivities<ReplaySliceActivities>(OPTIONS);

/** Options with a summary, which the Temporal UI shows instead of the activity's name. */
export function told(summary: string): ActivityOptions {
  return { ...OPTIONS, summary };
}

/** The same on the task queue of deliveries. */
export function toldDeliverer(summary: string): ActivityOptions {
  return { ...told(summary), taskQueue: deliveryTaskQueue(workflowInfo().taskQueue) };
}
