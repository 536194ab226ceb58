import { CancellationScope, CancelledFailure, condition } from '@temporalio/workflow';
import type { StepResult } from '../contracts/macro-run.ts';
import { isChange, type PlannedChangeStep, type PlannedStep } from '../contracts/plan.ts';
import { showHeld, waitWhileHeld } from './controls.ts';
import { executeStep, type StepContext } from './execute-step.ts';
import { explain, fail } from './fail.ts';
import { activities, briefly } from './macro-activities.ts';
import { repeatChecks } from './repeat-checks.ts';

/**
 * Takes the steps in the manifest's order. The undo of a change is registered before its step runs, because a
 * step whose answer is lost may still have committed.
 *
 * @throws the failure that the run is rolled back for
 */
export async function runForward(context: StepContext, registered: PlannedChangeStep[]): Promise<void> {
  for (const step of context.opened.plan.steps) {
    if (await waitWhileHeld(context.state, context.controls)) await repeatChecks(context);
    if (isChange(step)) registered.push(step);
    context.state.setPhase(step.kind);
    await untilPassed(context, step);
    if (step.kind === 'approve') await repeatChecks(context);
    if (CancellationScope.current().consideredCancelled) throw new CancelledFailure('cancelled');
  }
  await waitWhileHeld(context.state, context.controls);
}

async function untilPassed(context: StepContext, step: PlannedStep): Promise<void> {
  const { state } = context;
  const startedAt = Date.now();
  let attemptsBefore = 0;
  while (true) {
    state.setStep(step.id, { state: 'running' });
    let result: StepResult | undefined;
    let failure = { type: 'step_failed', message: '', attempts: 0 };
    try {
      result = await executeStep(context, step);
    } catch (error) {
      failure = explain(error);
      state.step(step.id).durationMs = Date.now() - startedAt;
      if (failure.type === 'cancelled') {
        state.setStep(step.id, { state: 'failed', detail: 'interrupted' });
        throw error;
      }
    }
    state.step(step.id).durationMs = Date.now() - startedAt;
    attemptsBefore += result?.attempts ?? failure.attempts;
    const verdict = result?.verdict ?? 'fail';
    const detail = result?.detail ?? failure.message;
    if (result !== undefined && verdict === 'pass') {
      state.setStep(step.id, { state: result.state, verdict, detail, attempts: attemptsBefore });
      return;
    }
    state.setStep(step.id, { state: 'failed', verdict, detail, attempts: attemptsBefore });
    const mayWait = verdict === 'inconclusive' || step.onFail === 'hold';
    if (!mayWait) throw fail(failure.type, `Step ${step.id}: ${verdict}. ${detail}`);
    await waitForPerson(context, step, `step ${step.id} is ${verdict}: ${detail}`);
  }
}

/** Holds the run with a step that a person must look at; `rollback` and Cancel interrupt the wait. */
async function waitForPerson(
  { state, controls }: StepContext,
  step: PlannedStep,
  why: string,
): Promise<void> {
  controls.stepForPerson = { id: step.id, why };
  showHeld(state, controls);
  state.setStep(step.id, { state: 'waiting' });
  try {
    await condition(() => controls.retry !== null);
    const decision = controls.retry;
    const { target, runId } = state.status;
    if (decision === null || runId === null) return;
    await activities.recordControl.executeWithOptions(briefly(`Record retry by ${decision.control.actor}`), [
      {
        target,
        runId,
        stepId: step.id,
        action: 'retryStep',
        control: decision.control,
        updateId: decision.updateId,
      },
    ]);
  } finally {
    controls.retry = null;
    controls.stepForPerson = null;
    showHeld(state, controls);
  }
}
