import type { StepResult } from '../contracts/macro-run.ts';
import type { CheckRow, Verdict } from '../contracts/verdict.ts';
import { inTransaction } from '../target/in-transaction.ts';
import type { StepWork } from './perform-step.ts';
import { enterStep, recordedResult, writeReceipt } from './receipts.ts';
import { insertFailure } from './record-failure.ts';
import { stepLimits } from './step-limits.ts';

/**
 * Ends a step that changed nothing: a pass gets its receipt; any other verdict is recorded as a failed attempt,
 * so that `retryStep` can try again, and is returned for the workflow to decide on.
 */
export async function finishReading(
  given: StepWork,
  verdict: Verdict,
  checks: readonly CheckRow[],
  facts: Readonly<Record<string, unknown>>,
  summary = '',
): Promise<StepResult> {
  const { client, target, ref, step, attempt } = given;
  const detail = [summary, describeChecks(checks)].filter((part) => part !== '').join('; ');
  if (verdict !== 'pass') {
    await insertFailure(client, {
      ref,
      direction: 'do',
      attempt,
      code: `verdict_${verdict}`,
      message: detail,
      checks,
    });
    return { state: 'done', verdict, detail, checks, attempts: attempt };
  }
  const limits = stepLimits({ target }, 'check');
  return inTransaction(client, 'read write', limits, async () => {
    const recorded = recordedResult(await enterStep(client, ref.runId, step.id));
    if (recorded !== undefined) return recorded;
    await writeReceipt(client, {
      runId: ref.runId,
      stepId: step.id,
      part: '',
      direction: 'do',
      state: 'done',
      kind: step.kind,
      verdict,
      detail,
      checks,
      facts,
      attempt,
      byRunId: ref.runId,
      startedAt: given.startedAt,
    });
    return { state: 'done', verdict, detail, checks, attempts: attempt };
  });
}

/** `9 of 9 checks pass`, or the ones that do not. */
function describeChecks(checks: readonly CheckRow[]): string {
  if (checks.length === 0) return '';
  const others = checks.filter((check) => check.verdict !== 'pass');
  if (others.length === 0) return `${checks.length} of ${checks.length} checks pass`;
  return others
    .slice(0, 5)
    .map((check) => `${check.checkId} ${check.verdict}: ${check.detail}`)
    .join('; ');
}
