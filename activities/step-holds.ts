import type { StepResult } from '../contracts/macro-run.ts';
import type { PlannedChangeStep } from '../contracts/plan.ts';
import { combineVerdicts } from '../contracts/verdict.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { runScript } from '../target/run-script.ts';
import type { StepWork } from './perform-step.ts';
import { enterStep, writeReceipt } from './receipts.ts';
import { stepLimits } from './step-limits.ts';

/**
 * Asks the step's `holds` check whether its effect is there already. Where every row passes, the step gets the
 * receipt `already_applied` and its undo will leave it alone, because this run did not do it.
 */
export async function stepHolds(given: StepWork, step: PlannedChangeStep): Promise<StepResult | undefined> {
  if (step.holds === null) return undefined;
  const { client, target, ref } = given;
  if (await isIntended(given, step)) return undefined;
  const { path, sha256 } = step.holds;
  const text = await loadScript(client, sha256);
  const limits = stepLimits({ target }, 'check');
  const { checks } = await inTransaction(
    client,
    'read only',
    limits,
    () => runScript(client, path, text),
    'rollback',
  );
  if (combineVerdicts(checks.map((check) => check.verdict)) !== 'pass') return undefined;
  const detail = `holds already: ${checks.map((check) => check.checkId).join(', ')}`;
  await inTransaction(client, 'read write', limits, async () => {
    await enterStep(client, ref.runId, step.id);
    await writeReceipt(client, {
      runId: ref.runId,
      stepId: step.id,
      part: '',
      direction: 'do',
      state: 'already_applied',
      kind: step.kind,
      verdict: 'pass',
      detail,
      checks,
      scriptSha256: sha256,
      attempt: given.attempt,
      byRunId: ref.runId,
      startedAt: given.startedAt,
    });
  });
  return { state: 'already_applied', verdict: 'pass', detail, checks, attempts: given.attempt };
}

/** Whether an earlier attempt of this run was about to do it: then the effect is this run's, and its to undo. */
async function isIntended({ client, ref }: StepWork, step: PlannedChangeStep): Promise<boolean> {
  const intended = await client.query(
    `select
     from sluice.step_intent
     where run_id = $1
       and step_id = $2`,
    [ref.runId, step.id],
  );
  return intended.rowCount !== 0;
}
