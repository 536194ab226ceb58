import {
  type ActivityOptions,
  continueAsNew,
  proxyActivities,
  setCurrentDetails,
  workflowInfo,
} from '@temporalio/workflow';
import {
  addDelivered,
  DELIVER_DEFAULTS,
  type DeliverActivities,
  type DeliverInput,
  type DeliverResult,
  NOTHING_DELIVERED,
} from '../contracts/deliver.ts';
import { deliveryTaskQueue } from '../contracts/names.ts';
import { inSlices } from './in-slices.ts';

const OPTIONS: ActivityOptions = {
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '10 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
};
const SUMMARY = 'deliver what is due';
const STATES = { working: 'delivering', ended: 'ended', cancelled: 'cancelled' } as const;

/**
 * Delivers what is due, in slices that are activities of the delivery task queue ({@link inSlices}). Cancelling it begins
 * nothing further, settles what is in flight and gives the rest back.
 */
export async function deliver(input: DeliverInput): Promise<DeliverResult> {
  const taskQueue = deliveryTaskQueue(workflowInfo().taskQueue);
  const { deliverSlice } = proxyActivities<DeliverActivities>({ ...OPTIONS, taskQueue, summary: SUMMARY });
  const { carried: _, slicesPerRun: __, ...slice } = input;
  return inSlices<DeliverResult>(input, {
    defaults: DELIVER_DEFAULTS,
    nothing: NOTHING_DELIVERED,
    name: 'the delivery',
    slice: (limits) => deliverSlice({ ...slice, ...limits }),
    add: addDelivered,
    show: (total, runs, state) => setCurrentDetails(render(input.target, total, runs, STATES[state])),
    continueAsNew: (carried) => continueAsNew<typeof deliver>({ ...input, carried }),
  });
}

/** Markdown for the Temporal UI. */
function render(target: string, total: DeliverResult, runs: number, state: string): string {
  const { sent, skipped, retried, deadLettered, refused, seconds, perSecond, status } = total;
  return [
    `Deliveries of \`${target}\`: **${state}**, last status \`${status}\`${runs === 0 ? '' : `, continued as new ${runs} times`}`,
    [
      '| sent | skipped | retried | dead letters | not recorded | seconds | tries/s |',
      '| ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
      `| ${sent} | ${skipped} | ${retried} | ${deadLettered} | ${refused} | ${seconds} | ${perSecond} |`,
    ].join('\n'),
  ].join('\n\n');
}
