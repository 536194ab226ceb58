import { Client, Connection } from '@temporalio/client';
import type { ActivityDependencies } from './dependencies.ts';

/** Where Temporal keeps a run, as the run's row in the target has it. */
export interface RunInTemporal {
  readonly workflow_id: string;
  readonly temporal_run_id: string;
  readonly temporal_namespace: string;
  readonly temporal_address: string;
  readonly temporal_cluster_id: string;
}

/** `temporal.api.enums.v1.WorkflowExecutionStatus` of an open execution. */
const RUNNING = 1;
const NOT_FOUND = 5;
/** How long another server may take to answer, in milliseconds. */
const ANSWER_WITHIN_MS = 5_000;

/**
 * Asks the Temporal that a run belongs to whether its workflow is still open. It is `gone` where that server does
 * not know it, or where another cluster answers at its address; `unreachable` says that nobody can tell.
 *
 * @throws the client's error where this worker's own Temporal does not answer
 */
export async function askOtherRun(
  { temporal }: ActivityDependencies,
  run: RunInTemporal,
): Promise<'open' | 'gone' | 'unreachable'> {
  if (run.temporal_cluster_id === temporal.clusterId) return describe(temporal.client, run);
  let connection: Connection | undefined;
  try {
    connection = await Connection.connect({
      address: run.temporal_address,
      connectTimeout: ANSWER_WITHIN_MS,
    });
    const opened = connection;
    return await opened.withDeadline(Date.now() + ANSWER_WITHIN_MS, async () => {
      const { clusterId } = await opened.workflowService.getClusterInfo({});
      if (clusterId !== run.temporal_cluster_id) return 'gone';
      return describe(new Client({ connection: opened, namespace: run.temporal_namespace }), run);
    });
  } catch {
    return 'unreachable';
  } finally {
    await connection?.close();
  }
}

async function describe(client: Client, run: RunInTemporal): Promise<'open' | 'gone'> {
  const status = await client.workflowService
    .describeWorkflowExecution({
      namespace: run.temporal_namespace,
      execution: { workflowId: run.workflow_id, runId: run.temporal_run_id },
    })
    .then((described) => described.workflowExecutionInfo?.status)
    .catch((error: { code?: number }) => {
      if (error.code === NOT_FOUND) return undefined;
      throw error;
    });
  return status === RUNNING ? 'open' : 'gone';
}
