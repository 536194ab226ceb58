import { SluiceError } from '../contracts/error-codes.ts';
import type { RecordedControl, StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import { inTransaction } from '../target/in-transaction.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { performStep } from './perform-step.ts';
import { readDatabaseFingerprint } from './read-fingerprint.ts';
import { enterStep, recordedResult, writeReceipt } from './receipts.ts';
import { insertControl } from './record-control.ts';
import { stepLimits } from './step-limits.ts';

/**
 * Records an approval together with the receipt of its step, in one transaction.
 *
 * @throws SluiceError `approval_refused` where the database is no longer the one that was approved
 */
export function recordApproval(dependencies: ActivityDependencies) {
  return (input: RecordedControl & StepRef): Promise<StepResult> =>
    performStep(dependencies, input, 'do', async ({ client, target, step, attempt, startedAt }) => {
      const limits = stepLimits({ target }, 'check');
      return inTransaction(client, 'read write', limits, async () => {
        const recorded = recordedResult(await enterStep(client, input.runId, input.stepId));
        if (recorded !== undefined) return recorded;
        const fingerprint = await readDatabaseFingerprint(client);
        if (fingerprint !== input.fingerprint) {
          throw new SluiceError('approval_refused', {
            what: `The database changed after the approval was asked for: fingerprint ${fingerprint.slice(0, 12)}, approved ${input.fingerprint?.slice(0, 12)}.`,
            expected: 'The database that was approved.',
            safe: 'Nothing was changed; the approval is asked for again with the new fingerprint.',
          });
        }
        await insertControl(client, dependencies, input);
        const detail = `approved by ${input.control.actor}: ${input.control.reason}`;
        await writeReceipt(client, {
          runId: input.runId,
          stepId: input.stepId,
          part: '',
          direction: 'do',
          state: 'done',
          kind: step.kind,
          verdict: 'pass',
          detail,
          facts: { planHash: input.planHash, fingerprint },
          attempt,
          byRunId: input.runId,
          startedAt,
        });
        return { state: 'done', verdict: 'pass', detail, checks: [], attempts: attempt };
      });
    });
}
