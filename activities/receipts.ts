import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { CheckRow, Verdict } from '../contracts/verdict.ts';

/** States of a receipt, as the CHECK of `sluice.step_receipt` has them. */
export type ReceiptState = 'done' | 'already_applied' | 'voided' | 'undone' | 'refused';

/** A row of `sluice.step_receipt`. `part` is the file; empty for the step as a whole. */
export interface Receipt {
  readonly part: string;
  readonly direction: 'do' | 'undo';
  readonly state: ReceiptState;
  readonly verdict: Verdict;
  readonly detail: string;
  readonly checks: readonly CheckRow[];
  readonly facts: Readonly<Record<string, unknown>>;
  readonly attempt: number;
}

export interface NewReceipt extends Omit<Receipt, 'checks' | 'facts'> {
  readonly runId: string;
  readonly stepId: string;
  readonly kind: string;
  readonly checks?: readonly CheckRow[];
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly scriptSha256?: string;
  readonly byRunId: string;
  readonly startedAt: Date;
}

/**
 * Writes a receipt in the caller's transaction. The key is the fence: where an undo has closed the slot, the
 * insert fails, and with it everything the step did.
 */
export async function writeReceipt(client: pg.Client, receipt: NewReceipt): Promise<void> {
  await client.query(
    `insert into sluice.step_receipt (run_id, step_id, part, direction, state, kind, verdict, detail, checks, facts,
       script_sha256, attempt, by_run_id, started_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
    [
      receipt.runId,
      receipt.stepId,
      receipt.part,
      receipt.direction,
      receipt.state,
      receipt.kind,
      receipt.verdict,
      receipt.detail,
      JSON.stringify(receipt.checks ?? []),
      JSON.stringify(receipt.facts ?? {}),
      receipt.scriptSha256 ?? null,
      receipt.attempt,
      receipt.byRunId,
      receipt.startedAt,
    ],
  );
}

/** Every receipt of a step, both directions. */
export async function readReceipts(
  client: pg.Client,
  runId: string,
  stepId: string,
): Promise<readonly Receipt[]> {
  const found = await client.query<Receipt>(
    `select part, direction, state, verdict, detail, checks, facts, attempt
     from sluice.step_receipt
     where run_id = $1
       and step_id = $2`,
    [runId, stepId],
  );
  return found.rows;
}

/** The result that a finished step's receipt recorded, if it has one. */
export function recordedResult(receipts: readonly Receipt[]): StepResult | undefined {
  const receipt = receipts.find((candidate) => candidate.direction === 'do' && candidate.part === '');
  if (receipt === undefined || (receipt.state !== 'done' && receipt.state !== 'already_applied'))
    return undefined;
  const { state, verdict, detail, checks, attempt } = receipt;
  return { state, verdict, detail, checks, attempts: attempt };
}

/**
 * Called first in every transaction that takes a run forward: takes the step's lock without waiting, and
 * refuses where the run is finished or has begun to be undone.
 *
 * @returns the step's receipts
 * @throws SluiceError `step_busy` (retried), `run_undone`, `step_voided`
 */
export async function enterStep(
  client: pg.Client,
  runId: string,
  stepId: string,
): Promise<readonly Receipt[]> {
  const entered = await client.query<{ locked: boolean; finished: boolean; undoing: boolean }>(
    `select
       pg_try_advisory_xact_lock(hashtextextended('sluice.step ' || $1 || ' ' || $2, 0)) as locked,
       run.finished_at is not null as finished,
       exists (
         select
         from sluice.step_receipt
         where step_receipt.run_id = run.run_id
           and (step_receipt.direction = 'undo' or step_receipt.state = 'voided')
       ) as undoing
     from sluice.run
     where run.run_id::text = $1`,
    [runId, stepId],
  );
  const state = entered.rows[0];
  if (state?.locked !== true) {
    throw stepBusy(stepId);
  }
  const receipts = await readReceipts(client, runId, stepId);
  if (recordedResult(receipts) !== undefined) return receipts;
  if (receipts.some((receipt) => receipt.state === 'voided')) throw voided(stepId);
  if (state.undoing || state.finished) {
    throw new SluiceError('run_undone', {
      what: `Run ${runId} ${state.undoing ? 'has undo receipts' : 'is finished'}; step ${stepId} came too late.`,
      expected: 'A run that is being undone or has ended does not go forward; start the macro again.',
      safe: 'Nothing was changed.',
    });
  }
  return receipts;
}

/**
 * Called first in every transaction that takes a step back: one undo of a step at a time. It is not the lock of the
 * step itself, since an attempt that still holds that one is fenced by the slot.
 *
 * @throws SluiceError `step_busy` (retried)
 */
export async function enterUndo(client: pg.Client, runId: string, stepId: string): Promise<void> {
  const taken = await client.query<{ locked: boolean }>(
    `select pg_try_advisory_xact_lock(hashtextextended('sluice.undo ' || $1 || ' ' || $2, 0)) as locked`,
    [runId, stepId],
  );
  if (taken.rows[0]?.locked === true) return;
  throw new SluiceError('step_busy', {
    what: `Another undo of step ${stepId} is still at work in the target.`,
    expected: 'One undo at a time; this one tries again until the other has ended.',
    safe: 'Nothing was changed by this attempt.',
  });
}

/** Retried until the other attempt has ended. */
export function stepBusy(stepId: string): SluiceError {
  return new SluiceError('step_busy', {
    what: `Another attempt of step ${stepId} is still at work in the target.`,
    expected: 'One attempt at a time; this one tries again until the other has ended.',
    safe: 'Nothing was changed by this attempt.',
  });
}

function voided(stepId: string): SluiceError {
  return new SluiceError('step_voided', {
    what: `The receipt slot of step ${stepId} was closed by an undo.`,
    expected: 'A step that was thought dead does not commit after its undo.',
    safe: 'The undo stands; this attempt left nothing.',
  });
}
