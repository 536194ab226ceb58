import { allHandlersFinished, CancellationScope, condition } from '@temporalio/workflow';
import type { MacroStatus, UndoInput } from '../contracts/macro-run.ts';
import { isChange } from '../contracts/plan.ts';
import { compensate } from './compensation.ts';
import { installControls } from './controls.ts';
import { fail } from './fail.ts';
import { assertStart, finish } from './macro.ts';
import { activities, briefly } from './macro-activities.ts';
import { RunState } from './run-state.ts';

/**
 * Takes back a run that has ended or was terminated, by its receipts in the target. Completed means
 * `rolled_back`; Failed means `disabled` or `needs_action`.
 */
export async function undoMacro(input: UndoInput): Promise<MacroStatus> {
  assertStart(input, ['target', 'undoRunId', 'actor', 'reason']);
  const state = new RunState(input);
  const controls = installControls(state, () => undefined);
  controls.isUndoing = true;
  state.show();
  const opened = await activities.openUndo.executeWithOptions(briefly('Open the undo'), [input]);
  state.open(opened, opened.planHash);
  state.status.cause = `rollback of run ${input.undoRunId} by ${input.actor}: ${input.reason}`;
  const registered = opened.plan.steps
    .filter(isChange)
    .filter((step) => opened.undoStepIds.includes(step.id));
  const outcome = await CancellationScope.nonCancellable(async () => {
    const result = await compensate({
      state,
      plan: opened.plan,
      runId: input.undoRunId,
      byRunId: opened.runId,
      registered,
    });
    await finish(state, result.outcome, result.leftToDo);
    await condition(allHandlersFinished);
    return result.outcome;
  });
  if (outcome === 'rolled_back') return state.status;
  throw fail(outcome, `${outcome}: ${state.status.cause}`, [state.status]);
}
