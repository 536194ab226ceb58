import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { Outcome } from '../contracts/outcome.ts';

/** A run as the target knows it. Times are ISO 8601. */
export interface KnownRun {
  readonly runId: string;
  readonly runNo: number;
  readonly kind: 'forward' | 'undo';
  readonly macro: string;
  readonly target: string;
  readonly planHash: string;
  readonly undoesRunId: string | null;
  readonly workflowId: string;
  readonly temporalRunId: string;
  readonly actor: string;
  readonly reason: string;
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly outcome: Outcome | null;
  readonly cause: string | null;
}

const COLUMNS = `run_id as "runId", run_no::int as "runNo", kind, macro, target, plan_hash as "planHash",
  undoes_run_id as "undoesRunId", workflow_id as "workflowId", temporal_run_id as "temporalRunId", actor, reason,
  to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "startedAt",
  to_char(finished_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "finishedAt", outcome, cause`;

/** Runs of a target, the newest first. */
export async function listRuns(client: pg.Client, limit = 50): Promise<readonly KnownRun[]> {
  const found = await client.query<KnownRun>(
    `select ${COLUMNS} from sluice.run order by run_no desc limit $1`,
    [limit],
  );
  return found.rows;
}

/**
 * Finds a run by its number (`7`), its engine run id, Temporal's run id, or the word `latest`.
 *
 * @throws SluiceError `run_not_found`
 */
export async function findRun(client: pg.Client, reference: string): Promise<KnownRun> {
  const found = await client.query<KnownRun>(
    `select ${COLUMNS}
     from sluice.run
     where run_no::text = $1
       or run_id::text = $1
       or temporal_run_id = $1
       or $1 = 'latest'
     order by run_no desc
     limit 1`,
    [reference],
  );
  const run = found.rows[0];
  if (run !== undefined) return run;
  throw new SluiceError('run_not_found', {
    what: `The target knows no run ${reference}.`,
    expected: 'A run number, an engine run id, or `latest`; `sluice macro list --runs` shows them.',
    safe: 'Nothing was changed.',
  });
}
