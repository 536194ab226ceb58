import type pg from 'pg';
import type { LeftToDo } from '../contracts/macro-run.ts';
import type { Outcome } from '../contracts/outcome.ts';

/** Closes a run once, with the fingerprint of the database as it is now; a run that is closed stays as it is. */
export async function finishRun(
  client: pg.Client,
  close: { runId: string; outcome: Outcome; cause: string; leftToDo: readonly LeftToDo[] },
): Promise<void> {
  await client.query(
    `update sluice.run
     set finished_at = clock_timestamp(),
       outcome = $2,
       cause = $3,
       left_to_do = $4,
       fingerprint_at_end = sluice.fn_database_fingerprint()
     where run_id = $1
       and finished_at is null`,
    [close.runId, close.outcome, close.cause, JSON.stringify(close.leftToDo)],
  );
}
