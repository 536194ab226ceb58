import { CancellationScope } from '@temporalio/workflow';
import type { LeftToDo } from '../contracts/macro-run.ts';
import type { Outcome } from '../contracts/outcome.ts';
import type { Plan, PlannedChangeStep } from '../contracts/plan.ts';
import { explain } from './fail.ts';
import { activities, undoing } from './macro-activities.ts';
import type { RunState } from './run-state.ts';

export interface Compensated {
  readonly outcome: Exclude<Outcome, 'succeeded'>;
  readonly leftToDo: readonly LeftToDo[];
}

export interface CompensationContext {
  readonly state: RunState;
  readonly plan: Plan;
  /** The run whose steps are undone. */
  readonly runId: string;
  /** The run that undoes them: the same, or the undo run. */
  readonly byRunId: string;
  /** Steps registered so far, in the order in which they were registered. */
  readonly registered: readonly PlannedChangeStep[];
}

/**
 * Undoes what was registered, last in first out, in a scope that no cancellation reaches. A refused undo leads
 * to the disable runbook; an undo that fails ends the compensation, because what stands below may need it, and
 * is left to a person with every step that still holds.
 */
export function compensate(context: CompensationContext): Promise<Compensated> {
  return CancellationScope.nonCancellable(async () => {
    context.state.setPhase('rollback');
    const standing = [...context.registered];
    while (true) {
      const step = standing.at(-1);
      if (step === undefined) return { outcome: 'rolled_back', leftToDo: [] };
      const refusal = await undoStep(context, step);
      if (refusal === 'failed') return { outcome: 'needs_action', leftToDo: leftStanding(context, standing) };
      if (refusal === 'refused') return disable(context, standing);
      standing.pop();
    }
  });
}

async function undoStep(
  context: CompensationContext,
  step: PlannedChangeStep,
): Promise<'undone' | 'refused' | 'failed'> {
  const { state } = context;
  const { target } = state.status;
  const startedAt = Date.now();
  state.setStep(step.id, { state: 'undoing' });
  try {
    const result = await activities.undoChange.executeWithOptions(undoing(`undo: ${step.title}`), [
      { target, runId: context.runId, stepId: step.id, byRunId: context.byRunId },
    ]);
    state.step(step.id).undoDurationMs = Date.now() - startedAt;
    const isRefused = result.state === 'refused';
    const stateOf = {
      undone: 'undone',
      refused: 'undo_failed',
      voided: 'skipped',
      nothing_to_undo: 'skipped',
    } as const;
    state.setStep(step.id, { state: stateOf[result.state], detail: result.detail });
    return isRefused ? 'refused' : 'undone';
  } catch (error) {
    state.step(step.id).undoDurationMs = Date.now() - startedAt;
    state.setStep(step.id, { state: 'undo_failed', detail: explain(error).message });
    return 'failed';
  }
}

async function disable(
  context: CompensationContext,
  standing: readonly PlannedChangeStep[],
): Promise<Compensated> {
  const { state, plan } = context;
  state.setPhase('disable');
  const left = leftStanding(context, standing);
  if (plan.disable.length === 0) return { outcome: 'needs_action', leftToDo: left };
  for (const step of plan.disable) {
    const ref = {
      target: state.status.target,
      runId: context.runId,
      stepId: step.id,
      byRunId: context.byRunId,
    };
    try {
      await activities.runDisable.executeWithOptions(undoing(`disable: ${step.title}`), [ref]);
    } catch (error) {
      const what = `The disable step ${step.id} (${step.title}) failed: ${explain(error).message}`;
      return {
        outcome: 'needs_action',
        leftToDo: [{ stepId: step.id, what, how: `psql -f ${step.script.path}` }, ...left],
      };
    }
  }
  return { outcome: 'disabled', leftToDo: left };
}

/** What still holds, the step that stopped the compensation first. */
function leftStanding(context: CompensationContext, standing: readonly PlannedChangeStep[]): LeftToDo[] {
  const { state } = context;
  return [...standing].reverse().map((step, index) => ({
    stepId: step.id,
    what:
      index === 0
        ? `The undo of ${step.id} did not go through: ${state.step(step.id).detail}`
        : `${step.id} still holds.`,
    how: `sluice macro rollback ${context.runId}, once ${undoFiles(step)} can run`,
  }));
}

function undoFiles(step: PlannedChangeStep): string {
  return [...step.files]
    .reverse()
    .map((pair) => pair.undo?.path ?? `the undo that ${pair.do.path} lacks`)
    .join(', ');
}
