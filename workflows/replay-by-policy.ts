import { executeChild, isCancellation, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import { REPLAY_WORKFLOW_TYPE, replayWorkflowId } from '../contracts/names.ts';
import type {
  PlannedByPolicy,
  ReplayByPolicyInput,
  ReplayByPolicyResult,
  ReplayInput,
  ReplayResult,
} from '../contracts/replay.ts';
import { explain } from './fail.ts';
import { replayActivities, told } from './replay-activities.ts';

type PlanOfPolicy = PlannedByPolicy['plans'][number];
type Ended = ReplayByPolicyResult['plans'][number];

/**
 * Replays what the policies of the target allow, for its schedule: each that is switched on and matches letters makes a
 * plan, and each plan is run as a child, one after another. A plan whose run breaks off keeps no other back. Cancelling it
 * cancels the child at work, which settles what is in flight.
 */
export async function replayByPolicy(input: ReplayByPolicyInput): Promise<ReplayByPolicyResult> {
  const { target, actor, reason } = input;
  const { plans, passedOver } = await replayActivities.planByPolicy.executeWithOptions(
    told('Plan what the policies allow'),
    [{ target, actor, reason }],
  );
  const ended: Ended[] = [];
  const show = () => setCurrentDetails(render(target, plans, ended, passedOver));
  show();
  for (const plan of plans) {
    ended.push(await replayPlan(input, plan));
    show();
  }
  return { plans: ended, passedOver };
}

async function replayPlan(
  { target, actor, reason }: ReplayByPolicyInput,
  { policy, planHash, letters }: PlanOfPolicy,
): Promise<Ended> {
  const input: ReplayInput = { target, planHash, actor, reason };
  try {
    const result = await executeChild<(input: ReplayInput) => Promise<ReplayResult>>(REPLAY_WORKFLOW_TYPE, {
      workflowId: replayWorkflowId(target, planHash),
      taskQueue: workflowInfo().taskQueue,
      args: [input],
      cancellationType: 'WAIT_CANCELLATION_COMPLETED',
      parentClosePolicy: 'REQUEST_CANCEL',
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      staticSummary: `policy ${policy}: ${letters} letters`,
    });
    const { outcome, resolved, failed, because } = result;
    return { policy, planHash, outcome, resolved, failed, because };
  } catch (error) {
    if (isCancellation(error)) throw error;
    const because = explain(error).message;
    return { policy, planHash, outcome: 'failed', resolved: 0, failed: 0, because };
  }
}

/** Markdown for the Temporal UI: how each policy's plan ended, and why the other policies did nothing. */
function render(
  target: string,
  plans: readonly PlanOfPolicy[],
  ended: readonly Ended[],
  passedOver: PlannedByPolicy['passedOver'],
): string {
  const rows = plans.map(({ policy, planHash, letters }) => {
    const end = ended.find((one) => one.planHash === planHash);
    const state = end === undefined ? '' : end.outcome;
    return `| ${policy} | \`${planHash.slice(0, 12)}\` | ${letters} | ${end?.resolved ?? ''} | ${end?.failed ?? ''} | ${state} |`;
  });
  return [
    `Replay of \`${target}\` by its policies: ${plans.length} plans, ${ended.length} of them run`,
    ...(rows.length === 0
      ? []
      : [
          [
            '| policy | plan | letters | resolved | failed | |',
            '| --- | --- | ---: | ---: | ---: | --- |',
            ...rows,
          ].join('\n'),
        ]),
    ...(passedOver.length === 0
      ? []
      : [passedOver.map(({ policy, because }) => `- \`${policy}\` did nothing: ${because}`).join('\n')]),
  ].join('\n\n');
}
