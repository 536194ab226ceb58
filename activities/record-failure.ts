import type pg from 'pg';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { CheckRow } from '../contracts/verdict.ts';
import { withSession } from '../target/open-session.ts';

/** The chain of a run is locked by whoever commits to it, and an attempt that hangs there must not hang this one. */
const LOCK_TIMEOUT_MS = 2_000;

/** An attempt that failed, or that ended with another verdict than `pass`. */
export interface FailedAttempt {
  readonly ref: StepRef & { byRunId?: string };
  readonly direction: 'do' | 'undo';
  readonly attempt: number;
  readonly code: string;
  readonly message: string;
  readonly checks?: readonly CheckRow[];
}

/** Inserts the failed attempt in the caller's session. */
export async function insertFailure(client: pg.Client, failed: FailedAttempt): Promise<void> {
  const { ref, direction, attempt, code, message, checks } = failed;
  await client.query(
    `insert into sluice.step_failure (run_id, step_id, direction, attempt, code, message, checks, by_run_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [
      ref.runId,
      ref.stepId,
      direction,
      attempt,
      code,
      message,
      JSON.stringify(checks ?? []),
      ref.byRunId ?? ref.runId,
    ],
  );
}

/**
 * Records a failed attempt in a session of its own, after the failed transaction is gone. Best effort: where the
 * target cannot be reached, the failure stands in Temporal's history alone.
 */
export async function recordFailure(url: string, failed: FailedAttempt): Promise<void> {
  await withSession({ url, applicationName: 'sluice:record-failure' }, async (client) => {
    await client.query(`set lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await insertFailure(client, failed);
  }).catch(() => undefined);
}
