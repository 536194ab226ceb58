import { SluiceError } from '../contracts/error-codes.ts';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import { type FilePair, isChange, type PlannedChangeStep } from '../contracts/plan.ts';
import { type CheckRow, combineVerdicts } from '../contracts/verdict.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { runScript } from '../target/run-script.ts';
import { demandBackup } from './demand-backup.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { explainLockTimeout } from './explain-lock-timeout.ts';
import { locksHeld } from './locks-held.ts';
import { nameActor } from './name-actor.ts';
import { performStep, type StepWork, stepResult } from './perform-step.ts';
import { enterStep, type Receipt, recordedResult, writeReceipt } from './receipts.ts';
import { runOutsideTransaction } from './run-outside-transaction.ts';
import { stepHolds } from './step-holds.ts';
import { stepLimits } from './step-limits.ts';

/** What one file of a change did; part of the step's facts. */
interface FileFacts {
  readonly path: string;
  readonly sha256: string;
  readonly durationMs: number;
  readonly statements: number;
  readonly locks: readonly { relation: string; mode: string }[];
}

/**
 * `migrate` and `enable`: each file in one transaction that also holds its receipt, so that a repeated attempt
 * finds what was done and a lost COMMIT is answered by the receipt. The last file's transaction writes the
 * receipt of the step.
 */
export function applyChange(dependencies: ActivityDependencies) {
  return (ref: StepRef): Promise<StepResult> =>
    performStep(dependencies, ref, 'do', async (given) => {
      const step = given.step;
      if (!isChange(step)) throw new Error(`step ${step.id} is no change`);
      const known = await inTransaction(given.client, 'read only', stepLimits(given, 'change'), () =>
        enterStep(given.client, ref.runId, step.id),
      );
      const recorded = recordedResult(known);
      if (recorded !== undefined) return recorded;
      const held = known.length === 0 ? await stepHolds(given, step) : undefined;
      if (held !== undefined) return held;
      await demandBackup(given);
      const facts: FileFacts[] = [];
      const checks: CheckRow[] = [];
      for (const [index, pair] of step.files.entries()) {
        const isLast = index === step.files.length - 1;
        const outcome = await applyFile(given, step, pair, known, isLast, { facts, checks });
        if (outcome !== undefined) return outcome;
        given.report({ file: index + 1, files: step.files.length });
      }
      return stepResult({
        verdict: checks.length === 0 ? 'pass' : combineVerdicts(checks.map((check) => check.verdict)),
        detail: detailOf(step, facts),
        checks,
        attempts: given.attempt,
      });
    });
}

async function applyFile(
  given: StepWork,
  step: PlannedChangeStep,
  pair: FilePair,
  known: readonly Receipt[],
  isLast: boolean,
  gathered: { facts: FileFacts[]; checks: CheckRow[] },
): Promise<StepResult | undefined> {
  const { client, ref } = given;
  const done = known.find((receipt) => receipt.direction === 'do' && receipt.part === pair.do.path);
  if (done !== undefined && !isLast) {
    gathered.checks.push(...done.checks);
    return undefined;
  }
  const text = await loadScript(client, pair.do.sha256);
  if (pair.doneWhen !== undefined)
    await explainLockTimeout(given, () => runOutsideTransaction(given, step, pair, text));
  return explainLockTimeout(given, () =>
    inTransaction(client, 'read write', stepLimits(given, 'change'), async () => {
      const recorded = recordedResult(await enterStep(client, ref.runId, step.id));
      if (recorded !== undefined) return recorded;
      await nameActor(client, ref.runId, 'do');
      const run =
        pair.doneWhen === undefined
          ? await runScript(client, pair.do.path, text)
          : { checks: [], statements: 1, durationMs: Date.now() - given.startedAt.getTime() };
      refuseFailedChecks(step, pair, run.checks);
      const locks = await locksHeld(client);
      gathered.checks.push(...run.checks);
      gathered.facts.push({
        path: pair.do.path,
        sha256: pair.do.sha256,
        durationMs: Math.round(run.durationMs),
        statements: run.statements,
        locks,
      });
      const receipt = {
        runId: ref.runId,
        stepId: step.id,
        direction: 'do',
        state: 'done',
        kind: step.kind,
        verdict: 'pass',
        attempt: given.attempt,
        byRunId: ref.runId,
        startedAt: given.startedAt,
      } as const;
      await writeReceipt(client, {
        ...receipt,
        part: pair.do.path,
        detail: `statements: ${run.statements}, ${Math.round(run.durationMs)} ms`,
        checks: run.checks,
        facts: { locks, statements: run.statements, durationMs: Math.round(run.durationMs) },
        scriptSha256: pair.do.sha256,
      });
      if (isLast) {
        await writeReceipt(client, {
          ...receipt,
          part: '',
          detail: detailOf(step, gathered.facts),
          checks: gathered.checks,
          facts: { files: gathered.facts },
        });
      }
      return undefined;
    }),
  );
}

/** A change whose own script reports anything but `pass` is rolled back. */
function refuseFailedChecks(step: PlannedChangeStep, pair: FilePair, checks: readonly CheckRow[]): void {
  const bad = checks.filter((check) => check.verdict !== 'pass');
  if (bad.length === 0) return;
  throw new SluiceError('step_failed', {
    what: `Step ${step.id}: ${pair.do.path} reported ${bad.map((check) => `${check.checkId} ${check.verdict} (${check.detail})`).join('; ')}.`,
    expected: 'Every check that a change reports passes before its transaction commits.',
    safe: 'The transaction was rolled back; this file left nothing.',
  });
}

function detailOf(step: PlannedChangeStep, facts: readonly FileFacts[]): string {
  const milliseconds = facts.reduce((sum, file) => sum + file.durationMs, 0);
  const statements = facts.reduce((sum, file) => sum + file.statements, 0);
  return `${step.files.length} ${step.files.length === 1 ? 'file' : 'files'}, ${statements} ${statements === 1 ? 'statement' : 'statements'}, ${milliseconds} ms in the database`;
}
