import { type ActivityOptions, proxyActivities } from '@temporalio/workflow';
import type { MacroActivities } from '../contracts/macro-activities.ts';

/**
 * Options of every macro activity. Retries follow from the error's code, not from a count: a failure is made
 * final by the activity. `WAIT_CANCELLATION_COMPLETED` lets the run know how a cancelled step ended before it is
 * undone.
 */
const FORWARD: ActivityOptions = {
  startToCloseTimeout: '24 hours',
  scheduleToCloseTimeout: '25 hours',
  heartbeatTimeout: '10 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
};

/** Activities of the engine; their summaries are given at each call. */
export const activities = proxyActivities<MacroActivities>(FORWARD);

/** Options with a summary, which the Temporal UI shows instead of the activity's name. */
export function summarised(summary: string): ActivityOptions {
  return { ...FORWARD, summary };
}

/** Options of an undo: it is tried for as long as the target does not answer. */
export function undoing(summary: string): ActivityOptions {
  const { scheduleToCloseTimeout: _, ...unlimited } = FORWARD;
  return { ...unlimited, summary };
}

/** Calls that belong to the run as a whole: they go on for as long as the target does not answer. */
export function briefly(summary: string): ActivityOptions {
  return undoing(summary);
}
