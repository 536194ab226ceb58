import type { StepRef } from '../contracts/macro-activities.ts';
import type { CheckRow } from '../contracts/verdict.ts';
import { withSession } from '../target/open-session.ts';

/**
 * Records a failed attempt in a session and a transaction of its own. Best effort: where the target cannot be
 * reached, the failure stands in Temporal's history alone.
 */
export async function recordFailure(
  url: string,
  ref: StepRef & { byRunId?: string },
  direction: 'do' | 'undo',
  attempt: number,
  code: string,
  message: string,
  checks: readonly CheckRow[] = [],
): Promise<void> {
  await withSession({ url, applicationName: 'sluice:record-failure' }, (client) =>
    client.query(
      `insert into sluice.step_failure (run_id, step_id, direction, attempt, code, message, checks, by_run_id)
       values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [
        ref.runId,
        ref.stepId,
        direction,
        attempt,
        code,
        message,
        JSON.stringify(checks),
        ref.byRunId ?? ref.runId,
      ],
    ),
  ).catch(() => undefined);
}
