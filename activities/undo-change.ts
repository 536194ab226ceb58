import { SluiceError } from '../contracts/error-codes.ts';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { UndoResult } from '../contracts/macro-run.ts';
import { type FilePair, isChange } from '../contracts/plan.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { runScript } from '../target/run-script.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { explainLockTimeout } from './explain-lock-timeout.ts';
import { nameActor } from './name-actor.ts';
import { performStep, type StepWork, sessionName } from './perform-step.ts';
import { enterUndo, writeReceipt } from './receipts.ts';
import { insertFailure } from './record-failure.ts';
import { stepLimits } from './step-limits.ts';

type Reference = StepRef & { byRunId: string };

/**
 * Takes a change back: its files in reverse order, each undo in one transaction with its receipt. The step's
 * own slot is filled first, in the same transaction, so that an attempt that was thought dead and commits late
 * fails on the key. Only what this run did is undone; a repeated undo does nothing.
 */
export function undoChange(dependencies: ActivityDependencies) {
  return (ref: Reference): Promise<UndoResult> =>
    performStep(dependencies, ref, 'undo', async (given) => {
      const { step } = given;
      if (!isChange(step)) throw new Error(`step ${step.id} is no change`);
      const results: UndoResult[] = [];
      try {
        for (const pair of [...step.files].reverse()) {
          results.push(await explainLockTimeout(given, () => undoFile(given, ref, pair)));
        }
      } catch (error) {
        const { code, message, text } = mapDatabaseError(error, `Step ${step.id} (undo)`);
        if (code === 'lock_timeout' || code === 'step_busy') await terminateOwnZombies(given);
        if (code !== 'rollback_refused') throw error;
        await insertFailure(given.client, { ref, direction: 'undo', attempt: given.attempt, code, message });
        return { state: 'refused', detail: text.what };
      }
      return summarise(results);
    });
}

async function undoFile(given: StepWork, ref: Reference, pair: FilePair): Promise<UndoResult> {
  const { client, target, step } = given;
  const limits = stepLimits({ target }, 'change');
  return inTransaction(client, 'read write', limits, async () => {
    const receipt = {
      runId: ref.runId,
      stepId: step.id,
      part: pair.do.path,
      kind: step.kind,
      verdict: 'pass',
      attempt: given.attempt,
      byRunId: ref.byRunId,
      startedAt: given.startedAt,
    } as const;
    await enterUndo(client, ref.runId, step.id);
    const slot = await closeSlots(given, ref, pair);
    if (slot === 'undone before') return { state: 'nothing_to_undo', detail: 'undone before' };
    if (slot === 'already_applied') {
      return { state: 'nothing_to_undo', detail: 'held before this run; left as it was' };
    }
    if (slot === 'empty') {
      await writeReceipt(client, {
        ...receipt,
        direction: 'undo',
        state: 'voided',
        detail: 'nothing had been done',
      });
      return { state: 'voided', detail: 'nothing had been done; its slot is closed' };
    }
    if (pair.undo === null) throw irreversible(given, pair);
    if (pair.doneWhen !== undefined) await terminateOwnZombies(given);
    await nameActor(client, ref.byRunId, 'undo');
    const run = await runScript(client, pair.undo.path, await loadScript(client, pair.undo.sha256));
    await writeReceipt(client, {
      ...receipt,
      direction: 'undo',
      state: 'undone',
      detail: `${pair.undo.path}: ${run.statements} statements in ${Math.round(run.durationMs)} ms`,
      checks: run.checks,
      scriptSha256: pair.undo.sha256,
    });
    return { state: 'undone', detail: pair.undo.path };
  });
}

/** Fills the empty slots of file and step, and tells what the file's slot held. */
async function closeSlots(
  { client, step }: StepWork,
  ref: Reference,
  pair: FilePair,
): Promise<'filled' | 'empty' | 'already_applied' | 'undone before'> {
  await client.query(
    `insert into sluice.step_receipt
       (run_id, step_id, part, direction, state, kind, verdict, detail, attempt, by_run_id, started_at)
     select $1, $2, slot.part, 'do', 'voided', $4, 'not_run', 'slot closed by an undo', 1, $5, clock_timestamp()
     from unnest(array[$3, '']) as slot (part)
     where not exists (
       select
       from sluice.step_receipt as whole
       where whole.run_id = $1
         and whole.step_id = $2
         and whole.part = ''
         and whole.direction = 'do'
         and whole.state = 'already_applied'
     )
     on conflict do nothing`,
    [ref.runId, step.id, pair.do.path, step.kind, ref.byRunId],
  );
  const found = await client.query<{ undone: boolean; held: boolean; filled: boolean }>(
    `select
       exists (select from sluice.step_receipt
               where run_id = $1 and step_id = $2 and part = $3 and direction = 'undo') as undone,
       exists (select from sluice.step_receipt
               where run_id = $1 and step_id = $2 and part = '' and state = 'already_applied') as held,
       exists (select from sluice.step_receipt
               where run_id = $1 and step_id = $2 and part = $3 and direction = 'do' and state = 'done')
         or exists (select from sluice.step_intent
                    where run_id = $1 and step_id = $2 and part = $3) as filled`,
    [ref.runId, step.id, pair.do.path],
  );
  const state = found.rows[0];
  if (state?.undone === true) return 'undone before';
  if (state?.held === true) return 'already_applied';
  return state?.filled === true ? 'filled' : 'empty';
}

/**
 * Ends sessions of earlier attempts of this very step, and waits until they are gone: they may hold what its undo
 * needs, and a file outside a transaction is fenced by nothing else.
 */
async function terminateOwnZombies({ client, ref }: StepWork): Promise<void> {
  await client.query(
    `select pg_terminate_backend(pid, 5000)
     from pg_stat_activity
     where application_name = $1
       and datname = current_database()
       and pid <> pg_backend_pid()`,
    [sessionName(ref)],
  );
}

function irreversible({ step }: StepWork, pair: FilePair): SluiceError {
  return new SluiceError('undo_failed', {
    what: `Step ${step.id} is irreversible: ${pair.do.path} has no undo.`,
    expected: 'A person who decides how to go on; a restore of the backup loses everything since.',
    safe: 'What it changed stands as it was committed.',
  });
}

function summarise(results: readonly UndoResult[]): UndoResult {
  const worked = results.filter((result) => result.state === 'undone');
  const last = results.at(-1);
  if (worked.length > 0) return { state: 'undone', detail: worked.map((result) => result.detail).join(', ') };
  return last ?? { state: 'nothing_to_undo', detail: 'no files' };
}
