import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import { inTransaction } from '../target/in-transaction.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { performStep } from './perform-step.ts';
import { enterStep, recordedResult, writeReceipt } from './receipts.ts';
import { stepLimits } from './step-limits.ts';

/** Receipt of a `run` step, written when its child workflow has ended well. `result` is its JSON. */
export function recordChild(dependencies: ActivityDependencies) {
  return (input: StepRef & { workflowId: string; result: string }): Promise<StepResult> =>
    performStep(dependencies, input, 'do', ({ client, target, step, attempt, startedAt }) => {
      const limits = stepLimits({ target }, 'check');
      return inTransaction(client, 'read write', limits, async () => {
        const recorded = recordedResult(await enterStep(client, input.runId, input.stepId));
        if (recorded !== undefined) return recorded;
        const result = JSON.parse(input.result) as Record<string, unknown>;
        const detail = Object.entries(result)
          .map(([key, value]) => `${key} ${String(value)}`)
          .join(', ');
        await writeReceipt(client, {
          runId: input.runId,
          stepId: input.stepId,
          part: '',
          direction: 'do',
          state: 'done',
          kind: step.kind,
          verdict: 'pass',
          detail,
          facts: { workflowId: input.workflowId, result },
          attempt,
          byRunId: input.runId,
          startedAt,
        });
        return { state: 'done', verdict: 'pass', detail, checks: [], attempts: attempt };
      });
    });
}
