import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { askOtherRun, type RunInTemporal } from './ask-other-run.ts';
import { currentExecution } from './current-execution.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishRun } from './finish-run.ts';

interface UnfinishedRun extends RunInTemporal {
  readonly run_id: string;
  readonly run_no: string;
  readonly macro: string;
}

/**
 * Where another run of this database is unfinished, asks Temporal for its workflow: an open one is a conflict;
 * one that was terminated, failed its tasks or is gone is closed as `needs_action`, which also fences it,
 * because steps of a finished run refuse to commit. Where its Temporal is another one that does not answer,
 * nobody can tell, and only a starter who says `takeOver` goes on.
 *
 * @throws SluiceError `target_conflict`
 */
export async function settleUnfinishedRun(
  client: pg.Client,
  dependencies: ActivityDependencies,
  { takeOver = false }: { readonly takeOver?: boolean },
): Promise<void> {
  const current = currentExecution();
  const found = await client.query<UnfinishedRun>(
    `select run_id, run_no, macro, workflow_id, temporal_run_id, temporal_namespace, temporal_address, temporal_cluster_id
     from sluice.run
     where finished_at is null`,
  );
  const other = found.rows[0];
  if (other === undefined || other.temporal_run_id === current.runId) return;
  const answer = await askOtherRun(dependencies, other);
  if (answer === 'open') {
    throw conflict(
      other,
      `workflow ${other.workflow_id} is open in namespace ${other.temporal_namespace} of Temporal at ${other.temporal_address}`,
      'Wait for that run, or cancel it: it rolls itself back.',
    );
  }
  if (answer === 'unreachable' && !takeOver) {
    throw conflict(
      other,
      `its Temporal at ${other.temporal_address} is another one than this, and does not answer`,
      'Start that server again. If it is gone for good, start with --take-over ("takeOver": true): its run is closed and fenced.',
    );
  }
  await finishRun(client, {
    runId: other.run_id,
    outcome: 'needs_action',
    cause: 'its workflow ended without closing it (terminated, or its history is gone)',
    leftToDo: [
      {
        stepId: '',
        what: `Run ${other.run_no} (${other.macro}) stopped where it stood; steps with a receipt still hold.`,
        how: `sluice macro rollback ${other.run_no}`,
      },
    ],
  });
}

function conflict(run: UnfinishedRun, why: string, next: string): SluiceError {
  return new SluiceError('target_conflict', {
    what: `Run ${run.run_no} (${run.macro}) of this database is unfinished: ${why}.`,
    expected: 'One macro at a time per database.',
    safe: `Nothing was changed. ${next}`,
  });
}
