import {
  type ActivityOptions,
  allHandlersFinished,
  CancellationScope,
  CancelledFailure,
  condition,
  continueAsNew,
  defineQuery,
  proxyActivities,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { STATUS_QUERY } from '../contracts/control.ts';
import {
  addDelivered,
  DELIVER_DEFAULTS,
  type DeliverActivities,
  type DeliverInput,
  type DeliverResult,
  NOTHING_DELIVERED,
} from '../contracts/deliver.ts';
import { deliveryTaskQueue } from '../contracts/names.ts';

const OPTIONS: ActivityOptions = {
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '10 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
};
const SUMMARY = 'deliver what is due';

/**
 * Delivers what is due, in slices: each is one activity of the delivery task queue that works for `sliceMs`, so that
 * history grows with time and never with the number of deliveries. After `slicesPerRun` slices it continues as new,
 * unless it is a child, whose slices are longer instead; the result, the query `status` and the current details count the
 * whole chain of runs. Cancelling it begins nothing further, settles what is in flight and gives the rest back.
 */
export async function deliver(input: DeliverInput): Promise<DeliverResult> {
  const { carried, slicesPerRun = DELIVER_DEFAULTS.slicesPerRun, ...asked } = input;
  const { parent, taskQueue } = workflowInfo();
  // A parent's cancellation reaches the run that it started and none that continues it as new, so a child stays one.
  const isChild = parent !== undefined;
  const { sliceMs = isChild ? DELIVER_DEFAULTS.childSliceMs : DELIVER_DEFAULTS.sliceMs, ...slice } = asked;
  const options = { ...OPTIONS, taskQueue: deliveryTaskQueue(taskQueue), summary: SUMMARY };
  const { deliverSlice } = proxyActivities<DeliverActivities>(options);
  const endsAtMs = carried?.endsAtMs ?? Date.now() + input.forMs;
  const runs = carried?.runs ?? 0;
  let total = carried?.total ?? NOTHING_DELIVERED;
  setHandler(defineQuery<DeliverResult>(STATUS_QUERY), () => total);
  const show = (state: string) => setCurrentDetails(render(input.target, total, runs, state));
  show('delivering');
  for (let slices = 1; ; slices += 1) {
    const forMs = Math.max(0, endsAtMs - Date.now());
    const part = await deliverSlice({ ...slice, sliceMs, forMs }).catch((error: unknown) => {
      if (!CancellationScope.current().consideredCancelled) throw error;
    });
    if (part !== undefined) total = addDelivered(total, part);
    if (part === undefined || CancellationScope.current().consideredCancelled) {
      show('cancelled');
      throw new CancelledFailure('the delivery was cancelled', [total]);
    }
    if (part.isDone) {
      show('ended');
      return total;
    }
    show('delivering');
    if (!isChild && (slices >= slicesPerRun || workflowInfo().continueAsNewSuggested)) {
      await condition(allHandlersFinished);
      return continueAsNew<typeof deliver>({ ...input, carried: { total, endsAtMs, runs: runs + 1 } });
    }
  }
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
