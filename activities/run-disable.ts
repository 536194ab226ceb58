import { activityInfo } from '@temporalio/activity';
import { SluiceError } from '../contracts/error-codes.ts';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { runScript } from '../target/run-script.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { nameActor } from './name-actor.ts';
import { readRun } from './read-run.ts';
import { enterUndo, writeReceipt } from './receipts.ts';
import { stepLimits } from './step-limits.ts';
import { withTarget } from './with-target.ts';

/**
 * One step of the disable runbook, after a rollback script has refused. Its receipt stands under the undone
 * run with direction `undo`; a repeated call finds it.
 */
export function runDisable(dependencies: ActivityDependencies) {
  return (ref: StepRef & { byRunId: string }): Promise<StepResult> =>
    withTarget(
      dependencies,
      ref.target,
      `disable:${ref.stepId}`,
      async ({ client, target }) => {
        const startedAt = new Date();
        const { attempt } = activityInfo();
        const { plan } = await readRun(client, ref.runId);
        const step = plan.disable.find((candidate) => candidate.id === ref.stepId);
        if (step === undefined) {
          throw new SluiceError('plan_not_found', {
            what: `The plan of run ${ref.runId} has no disable step ${ref.stepId}.`,
            expected: 'A step under `disable:` of the manifest.',
            safe: 'Nothing was changed.',
          });
        }
        const text = await loadScript(client, step.script.sha256);
        const limits = stepLimits({ target }, 'change');
        return inTransaction(client, 'read write', limits, async () => {
          await enterUndo(client, ref.runId, `disable-${step.id}`);
          const result = {
            state: 'done',
            verdict: 'pass',
            detail: step.title,
            checks: [],
            attempts: attempt,
          } as const;
          const done = await client.query(
            `select
           from sluice.step_receipt
           where run_id = $1
             and step_id = $2
             and direction = 'undo'`,
            [ref.runId, `disable-${step.id}`],
          );
          if (done.rowCount !== 0) return result;
          await nameActor(client, ref.byRunId, 'undo');
          const run = await runScript(client, step.script.path, text);
          await writeReceipt(client, {
            runId: ref.runId,
            stepId: `disable-${step.id}`,
            part: step.script.path,
            direction: 'undo',
            state: 'done',
            kind: 'disable',
            verdict: 'pass',
            detail: step.title,
            checks: run.checks,
            scriptSha256: step.script.sha256,
            attempt,
            byRunId: ref.byRunId,
            startedAt,
          });
          return result;
        });
      },
      'undo',
    );
}
