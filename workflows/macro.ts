import {
  allHandlersFinished,
  CancellationScope,
  CancelledFailure,
  condition,
  isCancellation,
  workflowInfo,
} from '@temporalio/workflow';
import type { RecordedControl } from '../contracts/macro-activities.ts';
import type { MacroInput, MacroStatus } from '../contracts/macro-run.ts';
import { macroWorkflowId } from '../contracts/names.ts';
import type { Outcome } from '../contracts/outcome.ts';
import type { PlannedChangeStep } from '../contracts/plan.ts';
import { compensate } from './compensation.ts';
import { type Controls, installControls, showHeld } from './controls.ts';
import { explain, fail } from './fail.ts';
import { activities, briefly } from './macro-activities.ts';
import { runForward } from './run-forward.ts';
import { RunState } from './run-state.ts';

/**
 * One macro run: a governed change of one database. Completed means `succeeded`; Canceled means cancelled and
 * rolled back; Failed means any other end, its type the outcome and its detail the {@link MacroStatus}.
 */
export async function macro(input: MacroInput): Promise<MacroStatus> {
  assertStart(input, ['target', 'planHash', 'actor', 'reason']);
  const state = new RunState(input);
  const forward = new CancellationScope();
  const controls = installControls(state, () => forward.cancel());
  state.show();
  const opened = await forward.run(() =>
    activities.openRun.executeWithOptions(briefly('Open the run'), [input]),
  );
  state.open(opened, input.planHash);
  const registered: PlannedChangeStep[] = [];
  let failure: unknown;
  try {
    await forward.run(() => runForward({ state, controls, opened, planHash: input.planHash }, registered));
    // A step may come through although it was asked to stop; the answer to who asked is still a rollback.
    if (forward.consideredCancelled) failure = new CancelledFailure('cancelled');
  } catch (error) {
    // An activity whose worker is gone reports a timeout where it was asked to cancel.
    failure =
      forward.consideredCancelled && !isCancellation(error)
        ? new CancelledFailure(explain(error).message)
        : error;
  }
  controls.isUndoing = true;
  const outcome = await CancellationScope.nonCancellable(async () => {
    if (failure === undefined) return finish(state, 'succeeded', []);
    const asked = describeInterruption(state, controls, failure);
    const isRecorded = await recordInterruption(asked);
    const context = { state, plan: opened.plan, runId: opened.runId, byRunId: opened.runId, registered };
    const { outcome: end, leftToDo } = await compensate(context);
    if (!isRecorded && !(await recordInterruption(asked)))
      state.status.cause += ' (who asked could not be recorded)';
    return finish(state, end, leftToDo);
  });
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
  return endWith(state, outcome, failure, controls);
}

/** Closes the run in the target, then shows its end. */
export async function finish(
  state: RunState,
  outcome: Outcome,
  leftToDo: MacroStatus['leftToDo'],
): Promise<Outcome> {
  const { target, runId, cause } = state.status;
  try {
    if (runId !== null) {
      await activities.closeRun.executeWithOptions(briefly(`Close the run: ${outcome}`), [
        { target, runId, outcome, cause, leftToDo },
      ]);
    }
    state.end(outcome, leftToDo);
    return outcome;
  } catch (error) {
    const what = `The run ended as ${outcome}, but its row in the target could not be closed: ${explain(error).message}`;
    const how = 'correct the cause; the next start on this target closes the row by itself';
    if (cause === '') state.status.cause = what;
    state.end('needs_action', [...leftToDo, { stepId: '', what, how }]);
    return 'needs_action';
  }
}

/** Says why the run turns back; returns what a person or the workflow's cancellation asked for, if anybody did. */
function describeInterruption(state: RunState, controls: Controls, failure: unknown): RecordedControl | null {
  const { target, runId } = state.status;
  const { rollback } = controls;
  controls.hold = null;
  controls.stepForPerson = null;
  showHeld(state, controls);
  if (rollback !== null)
    state.status.cause = `rolled back by ${rollback.control.actor}: ${rollback.control.reason}`;
  else if (isCancellation(failure)) state.status.cause = 'cancelled';
  else state.status.cause = explain(failure).message;
  if (runId === null) return null;
  const base = { target, runId, stepId: null };
  if (rollback !== null) return { ...base, action: 'rollback', ...rollback };
  if (!isCancellation(failure)) return null;
  const control = { actor: 'unknown', reason: 'the workflow was cancelled' };
  return { ...base, action: 'cancel', control, updateId: null };
}

/**
 * Records who asked. Nothing may keep the undo away, so a failure is no error: an attempt that hangs in its COMMIT
 * locks the run's chain until the undo ends it, and then it is tried again.
 */
async function recordInterruption(asked: RecordedControl | null): Promise<boolean> {
  if (asked === null) return true;
  try {
    const summary = `Record ${asked.action} by ${asked.control.actor}`;
    await activities.recordControl.executeWithOptions(briefly(summary), [asked]);
    return true;
  } catch {
    return false;
  }
}

function endWith(state: RunState, outcome: Outcome, failure: unknown, controls: Controls): MacroStatus {
  if (outcome === 'succeeded') return state.status;
  if (outcome === 'rolled_back' && isCancellation(failure) && controls.rollback === null) {
    throw new CancelledFailure('cancelled and rolled back', [state.status]);
  }
  throw fail(outcome, `${outcome}: ${state.status.cause}`, [state.status]);
}

/**
 * Refuses a start that the engine could not govern: a field that is missing, or a workflow id under which the
 * server would not keep a second macro away from the same database.
 */
export function assertStart<T extends { target: string }>(
  input: T | undefined,
  fields: readonly (keyof T & string)[],
): void {
  for (const field of fields) {
    const value: unknown = input?.[field];
    if (typeof value !== 'string' || value.trim() === '') {
      throw fail(
        'usage',
        `The input has no "${field}". Expected one object {"${fields.join('": "…", "')}": "…"}. Nothing was changed.`,
      );
    }
  }
  const expected = macroWorkflowId(String(input?.target));
  if (workflowInfo().workflowId !== expected) {
    throw fail(
      'usage',
      `This workflow was started under the id ${workflowInfo().workflowId}. Expected the id ${expected}, so that one macro runs at a time per database. Nothing was changed.`,
    );
  }
}
