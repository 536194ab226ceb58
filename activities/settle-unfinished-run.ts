import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { currentExecution } from './current-execution.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishRun } from './finish-run.ts';

/** `temporal.api.enums.v1.WorkflowExecutionStatus` of an open execution. */
const RUNNING = 1;

interface UnfinishedRun {
  readonly run_id: string;
  readonly run_no: string;
  readonly macro: string;
  readonly workflow_id: string;
  readonly temporal_run_id: string;
  readonly temporal_namespace: string;
  readonly temporal_address: string;
  readonly temporal_cluster_id: string;
}

/**
 * Where another run of this database is unfinished, asks Temporal for its workflow: an open one is a conflict;
 * one that was terminated, failed its tasks or is gone is closed as `needs_action`, which also fences it,
 * because steps of a finished run refuse to commit.
 *
 * @throws SluiceError `target_conflict`
 */
export async function settleUnfinishedRun(
  client: pg.Client,
  dependencies: ActivityDependencies,
): Promise<void> {
  const current = currentExecution();
  const found = await client.query<UnfinishedRun>(
    `select run_id, run_no, macro, workflow_id, temporal_run_id, temporal_namespace, temporal_address, temporal_cluster_id
     from sluice.run
     where finished_at is null`,
  );
  const other = found.rows[0];
  if (other === undefined || other.temporal_run_id === current.runId) return;
  if (other.temporal_cluster_id !== dependencies.temporal.clusterId) {
    throw conflict(other, `it belongs to another Temporal (${other.temporal_address}), which has to end it`);
  }
  if (await isOpen(dependencies, other)) {
    throw conflict(other, `workflow ${other.workflow_id} is open in namespace ${other.temporal_namespace}`);
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

async function isOpen({ temporal }: ActivityDependencies, run: UnfinishedRun): Promise<boolean> {
  const status = await temporal.client.workflowService
    .describeWorkflowExecution({
      namespace: run.temporal_namespace,
      execution: { workflowId: run.workflow_id, runId: run.temporal_run_id },
    })
    .then((described) => described.workflowExecutionInfo?.status)
    .catch((error: { code?: number }) => {
      const NOT_FOUND = 5;
      if (error.code === NOT_FOUND) return undefined;
      throw error;
    });
  return status === RUNNING;
}

function conflict(run: UnfinishedRun, why: string): SluiceError {
  return new SluiceError('target_conflict', {
    what: `Run ${run.run_no} (${run.macro}) of this database is unfinished: ${why}.`,
    expected: 'One macro at a time per database.',
    safe: 'Nothing was changed. Wait for that run, or cancel it: it rolls itself back.',
  });
}
