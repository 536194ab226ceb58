import { CancelledFailure } from '@temporalio/activity';
import { SluiceError } from '../contracts/error-codes.ts';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { PlannedCheckStep } from '../contracts/plan.ts';
import { type CheckRow, combineVerdicts, type Verdict } from '../contracts/verdict.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { runScript } from '../target/run-script.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishReading } from './finish-reading.ts';
import { performStep, type StepWork, stepResult } from './perform-step.ts';
import { enterStep, recordedResult } from './receipts.ts';
import { stepLimits } from './step-limits.ts';

/**
 * `check` and `verify`: read-only scripts in a READ ONLY transaction that the engine opens and rolls back. A
 * script that tries to write fails the step with `verify_wrote`; one that reports nothing is `not_run`.
 */
export function runCheck(dependencies: ActivityDependencies) {
  return (ref: StepRef): Promise<StepResult> =>
    performStep(dependencies, ref, 'do', async (given) => {
      const { client, step } = given;
      const known = await inTransaction(client, 'read only', stepLimits(given, 'check'), () =>
        enterStep(client, ref.runId, step.id),
      );
      const recorded = recordedResult(known);
      if (recorded !== undefined) return recorded;
      const { verdict, checks } = await readChecks(given);
      return finishReading(given, verdict, checks, {});
    });
}

/**
 * A check that passed before a wait, read again after it; its receipt stays as it is. What does not pass any more
 * is recorded as a failed attempt of the step.
 */
export function repeatCheck(dependencies: ActivityDependencies) {
  return (ref: StepRef): Promise<StepResult> =>
    performStep(dependencies, ref, 'do', async (given) => {
      const { verdict, checks } = await readChecks(given);
      if (verdict !== 'pass') return finishReading(given, verdict, checks, {});
      const detail = `${checks.length} of ${checks.length} checks still pass`;
      return stepResult({ verdict, detail, checks, attempts: given.attempt });
    });
}

async function readChecks(given: StepWork): Promise<{ verdict: Verdict; checks: readonly CheckRow[] }> {
  const checks: CheckRow[] = [];
  for (const { path, sha256 } of (given.step as PlannedCheckStep).scripts) {
    const text = await loadScript(given.client, sha256);
    const run = await readOnly(given, path, text);
    checks.push(...(run.length === 0 ? [nothingReported(path)] : run));
  }
  return { verdict: combineVerdicts(checks.map((check) => check.verdict)), checks };
}

async function readOnly(given: StepWork, path: string, text: string): Promise<readonly CheckRow[]> {
  try {
    const run = await inTransaction(
      given.client,
      'read only',
      stepLimits(given, 'check'),
      () => runScript(given.client, path, text),
      'rollback',
    );
    return run.checks;
  } catch (error) {
    if (error instanceof CancelledFailure || !(error instanceof SluiceError)) throw error;
    if (error.code !== 'target_read_only') throw error;
    throw new SluiceError('verify_wrote', {
      what: error.text.what,
      expected: `A ${given.step.kind} script only reads; the engine runs it in a READ ONLY transaction.`,
      safe: 'The server refused the write; nothing was changed by this script.',
    });
  }
}

export function nothingReported(path: string): CheckRow {
  return {
    checkId: path,
    verdict: 'not_run',
    detail: 'the script reported no check, so it has shown nothing',
  };
}
