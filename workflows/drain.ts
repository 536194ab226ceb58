import {
  type ActivityOptions,
  continueAsNew,
  proxyActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import {
  addDrained,
  DRAIN_DEFAULTS,
  type DrainActivities,
  type DrainInput,
  type DrainResult,
  NOTHING_DRAINED,
} from '../contracts/drain.ts';
import { inSlices } from './in-slices.ts';

const OPTIONS: ActivityOptions = {
  startToCloseTimeout: '24 hours',
  heartbeatTimeout: '10 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
};
const { drainSlice } = proxyActivities<DrainActivities>(OPTIONS);
const STATES = { working: 'draining', ended: 'ended', cancelled: 'cancelled' } as const;

/**
 * One bounded drain of the outbox, in slices ({@link inSlices}): each is one activity that runs batches for `sliceMs`.
 * Cancelling it ends the drain after the batch at work.
 */
export async function drain(input: DrainInput): Promise<DrainResult> {
  const { carried: _, slicesPerRun: __, ...slice } = input;
  const summary = `drain ${input.cursorCode}, ${input.batchSize} events a batch`;
  return inSlices<DrainResult>(input, {
    defaults: DRAIN_DEFAULTS,
    nothing: NOTHING_DRAINED,
    name: 'the drain',
    slice: (limits) => drainSlice.executeWithOptions({ ...OPTIONS, summary }, [{ ...slice, ...limits }]),
    add: addDrained,
    show: (total, runs, state) => setCurrentDetails(render(input, total, runs, STATES[state])),
    continueAsNew: (carried) => continueAsNew<typeof drain>({ ...input, carried }),
  });
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
