import { isChange } from '../contracts/plan.ts';
import type { StepContext } from './execute-step.ts';
import { fail } from './fail.ts';
import { activities, summarised } from './macro-activities.ts';

/**
 * After a wait for a person, reads again every check that passed before it. Once this run has changed something,
 * its own preconditions say nothing any more, and nothing is repeated.
 *
 * @throws the failure that the run is rolled back for, where one does not pass any more
 */
export async function repeatChecks({ state, opened }: StepContext): Promise<void> {
  const { steps } = opened.plan;
  if (steps.some((step) => isChange(step) && state.step(step.id).state === 'done')) return;
  for (const step of steps) {
    if (step.kind !== 'check' || state.step(step.id).state !== 'done') continue;
    const { verdict, detail } = await activities.repeatCheck.executeWithOptions(
      summarised(`check again after the wait: ${step.title}`),
      [{ target: state.status.target, runId: opened.runId, stepId: step.id }],
    );
    if (verdict === 'pass') continue;
    state.setStep(step.id, { state: 'failed', verdict, detail });
    throw fail('step_failed', `Step ${step.id} passed before the wait and is ${verdict} after it. ${detail}`);
  }
}
