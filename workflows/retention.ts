import {
  type ActivityOptions,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import {
  RETENTION_DEFAULTS,
  type RetentionActivities,
  type RetentionInput,
  type RetentionPlan,
  type RetentionResult,
  type RetiredPartition,
} from '../contracts/retention.ts';
import { explain } from './fail.ts';

const OPTIONS: ActivityOptions = {
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '10 seconds',
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
  retry: { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' },
};
const { retirePlan, retirePrepare, retirePartition } = proxyActivities<RetentionActivities>(OPTIONS);

/** Rows of the table in the current details. */
const SHOWN = 50;

/**
 * Lets old partitions of the outbox and its attempts leave. First it makes the partitions of the coming time and says
 * what would leave, and why the others stay; it drops only where the input says `apply` and the gate
 * `iu_core.retention_enabled` is open. Each drop is an activity of its own with a short lock timeout: writers and runs
 * wait no longer than that. A partition whose locks are not granted within five tries stays until the next run, and all
 * younger ones with it.
 */
export async function retention(input: RetentionInput): Promise<RetentionResult> {
  const { target, actor, reason } = input;
  const { dropsPerRun, lockTimeoutMs } = { ...RETENTION_DEFAULTS, ...input };
  const told = (summary: string) => ({ ...OPTIONS, summary });
  let notPrepared: string | null = null;
  const { created } = await retirePrepare
    .executeWithOptions(told('Make the partitions of the coming time'), [{ target, lockTimeoutMs }])
    .catch((error: unknown) => {
      if (isCancellation(error)) throw error;
      notPrepared = explain(error).message;
      return { created: [] };
    });
  const plan = await retirePlan.executeWithOptions(told('Which partitions may leave'), [{ target }]);
  const dropped: RetiredPartition[] = [];
  const kept = new Map(
    plan.partitions.map((one) => [one.partition, one.stays_because ?? whyNothingLeaves(input, plan)]),
  );
  const result = (): RetentionResult => ({
    applied: input.apply,
    enabled: plan.enabled,
    cutoff: plan.cutoff,
    created,
    dropped,
    kept: [...kept].map(([partition, because]) => ({ partition, because })),
    notPrepared,
  });
  const show = () => setCurrentDetails(render(input, plan, result()));
  show();
  if (!input.apply || !plan.enabled) return result();
  const leaving = plan.partitions.filter(({ leaves }) => leaves).slice(0, dropsPerRun);
  for (const [place, { partition }] of leaving.entries()) {
    try {
      dropped.push(
        await retirePartition.executeWithOptions(told(`Drop ${partition}`), [
          { target, partition, actor, reason, lockTimeoutMs },
        ]),
      );
      kept.delete(partition);
    } catch (error) {
      if (isCancellation(error)) throw error;
      kept.set(partition, explain(error).message);
      // What has left ends where the oldest partition begins, so no younger one goes before it.
      for (const { partition: younger } of leaving.slice(place + 1))
        kept.set(younger, 'an older partition stays');
      show();
      return result();
    }
    show();
  }
  return result();
}

/** Why a partition that may leave stays all the same. */
function whyNothingLeaves({ apply }: RetentionInput, { enabled }: RetentionPlan): string {
  if (!apply) return 'dry run';
  return enabled ? 'the next run takes it' : 'the gate iu_core.retention_enabled is closed';
}

/** Markdown for the Temporal UI: what leaves, and why the others stay. */
function render(input: RetentionInput, plan: RetentionPlan, result: RetentionResult): string {
  const gone = new Set(result.dropped.map(({ partition }) => partition));
  const because = new Map(result.kept.map((one) => [one.partition, one.because]));
  const rows = plan.partitions.map(
    ({ partition, events, attempts }) =>
      `| ${partition} | ${events} | ${attempts} | ${gone.has(partition) ? '✓ dropped' : `stays: ${oneLine(because.get(partition) ?? '')}`} |`,
  );
  const gate = plan.enabled ? 'open' : 'closed';
  const kind = input.apply ? 'Retention' : 'Dry run of the retention';
  return [
    `${kind} of \`${input.target}\`: keeps ${plan.keep_days} days (since ${plan.cutoff}), gate ${gate}; ${result.dropped.length} dropped, ${result.created.length} created ahead, ${plan.default_rows} events in the default partition${result.notPrepared === null ? '' : `. **Not prepared:** ${oneLine(result.notPrepared)}`}`,
    [
      '| partition | events | attempts | |',
      '| --- | ---: | ---: | --- |',
      ...rows.slice(0, SHOWN),
      ...(rows.length > SHOWN ? [`| … | | | ${rows.length - SHOWN} more |`] : []),
    ].join('\n'),
  ].join('\n\n');
}

/** One line of a Markdown table, at most 200 characters. */
function oneLine(text: string): string {
  const flat = text.replaceAll(/\s+/g, ' ').replaceAll('|', '/');
  return flat.length > 200 ? `${flat.slice(0, 199)}…` : flat;
}
