import { type ActivityOptions, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { DrainActivities, DrainInput, DrainResult } from '../contracts/macro-activities.ts';

const OPTIONS: ActivityOptions = {
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '10 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
};
const { drainBatch } = proxyActivities<DrainActivities>(OPTIONS);

/**
 * One bounded drain of the outbox: a single activity runs batches, so that history does not grow with the
 * number of events. Cancelling it ends the drain after the batch at work.
 */
export async function drain(input: DrainInput): Promise<DrainResult> {
  setCurrentDetails(`Draining cursor \`${input.cursorCode}\` of target \`${input.target}\`.`);
  const summary = `drain ${input.cursorCode}, ${input.batchSize} events a batch`;
  const result = await drainBatch.executeWithOptions({ ...OPTIONS, summary }, [input]);
  setCurrentDetails(
    `Drained ${result.events} events into ${result.attempts} attempts, ${result.deadLettered} dead-lettered; last status \`${result.status}\`.`,
  );
  return result;
}
