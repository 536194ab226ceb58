import { CancellationScope, condition, executeChild, workflowInfo } from '@temporalio/workflow';
import type { OpenedRun, StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import { REPLAY_WORKFLOW_TYPE } from '../contracts/names.ts';
import type {
  PlannedApproveStep,
  PlannedObserveStep,
  PlannedRunStep,
  PlannedStep,
} from '../contracts/plan.ts';
import { type Controls, forgetApproval } from './controls.ts';
import { explain, fail } from './fail.ts';
import { activities, briefly, summarised } from './macro-activities.ts';
import type { RunState } from './run-state.ts';

export interface StepContext {
  readonly state: RunState;
  readonly controls: Controls;
  readonly opened: OpenedRun;
  readonly planHash: string;
}

/** Runs one step to its result; the table maps every kind to the activity that engineers see. */
export async function executeStep(context: StepContext, step: PlannedStep): Promise<StepResult> {
  const ref: StepRef = { target: context.state.status.target, runId: context.opened.runId, stepId: step.id };
  const options = summarised(`${step.kind}: ${step.title}`);
  switch (step.kind) {
    case 'check':
      return activities.runCheck.executeWithOptions(options, [ref]);
    case 'verify':
      return activities.runVerify.executeWithOptions(options, [ref]);
    case 'probe':
      return activities.runProbe.executeWithOptions(options, [ref]);
    case 'backup':
      return activities.takeBackup.executeWithOptions(options, [ref]);
    case 'migrate':
    case 'enable':
      return activities.applyChange.executeWithOptions(options, [ref]);
    case 'approve':
      return waitForApproval(context, step, ref);
    case 'run':
      return runChild(context, step, ref);
    case 'observe':
      return observe(context, step, ref);
  }
}

async function waitForApproval(
  context: StepContext,
  step: PlannedApproveStep,
  ref: StepRef,
): Promise<StepResult> {
  const { state, controls, planHash } = context;
  forgetApproval(controls);
  const expiresAt = new Date(Date.now() + step.expiresMs).toISOString();
  while (true) {
    const fingerprint = await activities.readFingerprint.executeWithOptions(
      briefly('Fingerprint to approve'),
      [{ target: ref.target }],
    );
    state.setPendingApproval({ stepId: step.id, planHash, fingerprint, expiresAt });
    state.setStep(step.id, { state: 'waiting', detail: `waits for a second person until ${expiresAt}` });
    try {
      const isDecided = () => controls.approval !== null || controls.rejection !== null;
      const wasDecided = await condition(isDecided, Math.max(1, Date.parse(expiresAt) - Date.now()), {
        summary: `until the approval expires (step ${step.id})`,
      });
      const decision = controls.approval;
      const base = { ...ref, planHash, fingerprint };
      if (!wasDecided) {
        const control = { actor: 'sluice', reason: `nobody approved until ${expiresAt}` };
        await activities.recordControl.executeWithOptions(briefly('Record the expiry'), [
          { ...base, action: 'expired', control, updateId: null },
        ]);
        throw fail('approval_refused', `The approval of step ${step.id} expired at ${expiresAt}.`);
      }
      if (controls.rejection !== null) {
        const { control, updateId } = controls.rejection;
        await activities.recordControl.executeWithOptions(briefly(`Record rejection by ${control.actor}`), [
          { ...base, action: 'reject', control, updateId },
        ]);
        throw fail('approval_refused', `${control.actor} rejected step ${step.id}: ${control.reason}`);
      }
      if (decision === null) throw fail('unexpected', 'an approval was decided, but by nothing');
      state.setStep(step.id, { state: 'running', detail: `approved by ${decision.control.actor}` });
      return await activities.recordApproval.executeWithOptions(
        summarised(`approve: ${step.title}, by ${decision.control.actor}`),
        [{ ...base, action: 'approve', control: decision.control, updateId: decision.updateId }],
      );
    } catch (error) {
      if (explain(error).type !== 'approval_refused' || controls.approval === null) throw error;
      // The database changed between request and approval: ask again with what it is now.
      controls.approval = null;
    } finally {
      state.setPendingApproval(null);
    }
  }
}

type Child = Pick<PlannedRunStep, 'workflow' | 'input'>;

function childOptions(context: StepContext, stepId: string, target: string, { workflow, input }: Child) {
  const { workflowId, taskQueue } = workflowInfo();
  const { plan, runNo } = context.opened;
  const reason = `macro ${plan.macro}, run ${runNo}, step ${stepId}`;
  // The target keeps who replays and why.
  const asked = workflow === REPLAY_WORKFLOW_TYPE ? { actor: context.state.requester, reason } : {};
  return {
    workflowId: `${workflowId}/${runNo}/${stepId}`,
    taskQueue,
    args: [{ ...input, ...asked, target }],
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    parentClosePolicy: 'REQUEST_CANCEL',
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
  } as const;
}

async function runChild(context: StepContext, step: PlannedRunStep, ref: StepRef): Promise<StepResult> {
  const options = childOptions(context, step.id, ref.target, step);
  const result: unknown = await executeChild(step.workflow, { ...options, staticSummary: step.title });
  return activities.recordChild.executeWithOptions(briefly(`run: ${step.title}`), [
    { ...ref, workflowId: options.workflowId, result: JSON.stringify(result ?? {}) },
  ]);
}

async function observe(context: StepContext, step: PlannedObserveStep, ref: StepRef): Promise<StepResult> {
  const sampling = () =>
    activities.observeWindow.executeWithOptions(summarised(`observe: ${step.title}`), [ref]);
  if (step.alongside === null) return sampling();
  const { workflow } = step.alongside;
  const options = {
    ...childOptions(context, step.id, ref.target, step.alongside),
    staticSummary: `beside: ${step.title}`,
  };
  const beside = new CancellationScope();
  // How it ended is no verdict: the metrics of the window are.
  const ended = beside.run(() => executeChild(workflow, options)).catch(() => undefined);
  try {
    return await sampling();
  } finally {
    beside.cancel();
    await CancellationScope.nonCancellable(() => ended);
  }
}
