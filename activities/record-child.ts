import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishReading } from './finish-reading.ts';
import { performStep } from './perform-step.ts';

/** Receipt of a `run` step, written when its child workflow has ended well. `result` is its JSON. */
export function recordChild(dependencies: ActivityDependencies) {
  return (input: StepRef & { workflowId: string; result: string }): Promise<StepResult> =>
    performStep(dependencies, input, 'do', (given) => {
      const result = JSON.parse(input.result) as Record<string, unknown>;
      const detail = Object.entries(result)
        .map(([key, value]) => `${key} ${String(value)}`)
        .join(', ');
      return finishReading(given, 'pass', [], { workflowId: input.workflowId, result }, detail);
    });
}
