import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { Plan } from '../contracts/plan.ts';
import { loadPlan } from '../planning/load-plan.ts';

/** The row of `sluice.run` that steps need. */
export interface RunRow {
  readonly runId: string;
  readonly runNo: number;
  readonly kind: 'forward' | 'undo';
  readonly macro: string;
  readonly planHash: string;
  readonly finished: boolean;
}

/** @throws SluiceError `run_not_found`, `script_tampered` */
export async function readRun(client: pg.Client, runId: string): Promise<{ run: RunRow; plan: Plan }> {
  const found = await client.query<{
    run_id: string;
    run_no: string;
    kind: 'forward' | 'undo';
    macro: string;
    plan_hash: string;
    finished: boolean;
  }>(
    `select run_id, run_no, kind, macro, plan_hash, finished_at is not null as finished
     from sluice.run
     where run_id::text = $1`,
    [runId],
  );
  const row = found.rows[0];
  if (row === undefined) {
    throw new SluiceError('run_not_found', {
      what: `The target has no run ${runId}.`,
      expected: 'A run that `sluice macro list --runs` names.',
      safe: 'Nothing was changed.',
    });
  }
  return {
    run: {
      runId: row.run_id,
      runNo: Number(row.run_no),
      kind: row.kind,
      macro: row.macro,
      planHash: row.plan_hash,
      finished: row.finished,
    },
    plan: await loadPlan(client, row.plan_hash),
  };
}
