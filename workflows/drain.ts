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
  addDrained,
  DRAIN_DEFAULTS,
  type DrainActivities,
  type DrainInput,
  type DrainResult,
  NOTHING_DRAINED,
} from '../contracts/drain.ts';

const OPTIONS: ActivityOptions = {
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '10 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
};
const { drainSlice } = proxyActivities<DrainActivities>(OPTIONS);

/**
 * One bounded drain of the outbox, in slices: each is one activity that runs batches for `sliceMs`, so that history
 * grows with the time a drain takes and never with the number of events. After `slicesPerRun` slices it continues as
 * new, unless it is a child, whose slices are longer instead; the result, the query `status` and the current details
 * count the whole chain of runs. Cancelling it ends the drain after the batch at work.
 */
export async function drain(input: DrainInput): Promise<DrainResult> {
  const { carried, slicesPerRun = DRAIN_DEFAULTS.slicesPerRun, ...asked } = input;
  // A parent's cancellation reaches the run that it started and none that continues it as new, so a child stays one.
  const isChild = workflowInfo().parent !== undefined;
  const { sliceMs = isChild ? DRAIN_DEFAULTS.childSliceMs : DRAIN_DEFAULTS.sliceMs, ...slice } = asked;
  const endsAtMs = carried?.endsAtMs ?? Date.now() + input.forMs;
  const runs = carried?.runs ?? 0;
  let total = carried?.total ?? NOTHING_DRAINED;
  setHandler(defineQuery<DrainResult>(STATUS_QUERY), () => total);
  const show = (state: string) => setCurrentDetails(render(input, total, runs, state));
  show('draining');
  const summary = `drain ${input.cursorCode}, ${input.batchSize} events a batch`;
  for (let slices = 1; ; slices += 1) {
    const forMs = Math.max(0, endsAtMs - Date.now());
    const asking = drainSlice.executeWithOptions({ ...OPTIONS, summary }, [{ ...slice, sliceMs, forMs }]);
    const part = await asking.catch((error: unknown) => {
      if (!CancellationScope.current().consideredCancelled) throw error;
    });
    if (part !== undefined) total = addDrained(total, part);
    if (part === undefined || CancellationScope.current().consideredCancelled) {
      show('cancelled');
      throw new CancelledFailure('the drain was cancelled', [total]);
    }
    if (part.isDone) {
      show('ended');
      return total;
    }
    show('draining');
    if (!isChild && (slices >= slicesPerRun || workflowInfo().continueAsNewSuggested)) {
      await condition(allHandlersFinished);
      return continueAsNew<typeof drain>({ ...input, carried: { total, endsAtMs, runs: runs + 1 } });
    }
  }
}

/** Markdown for the Temporal UI. */
function render(input: DrainInput, total: DrainResult, runs: number, state: string): string {
  const { events, attempts, deadLettered, batches, seconds, eventsPerSecond, status } = total;
  return [
    `Cursor \`${input.cursorCode}\` of \`${input.target}\`: **${state}**, last status \`${status}\`${runs === 0 ? '' : `, continued as new ${runs} times`}`,
    [
      '| events | attempts | dead letters | batches | seconds | events/s |',
      '| ---: | ---: | ---: | ---: | ---: | ---: |',
      `| ${events} | ${attempts} | ${deadLettered} | ${batches} | ${seconds} | ${eventsPerSecond} |`,
    ].join('\n'),
  ].join('\n\n');
}
