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
/** … and of one that ended as the next run of its chain began. */
const CONTINUED_AS_NEW = 6;
const NOT_FOUND = 5;
/** How long another server may take to answer, in milliseconds. */
const ANSWER_WITHIN_MS = 5_000;

/**
 * Asks the Temporal that a run belongs to whether its workflow is still open; a run that continued as new is, as long as
 * its chain goes on. It is `gone` where that server does not know it, or where another cluster answers at its address;
 * `unreachable` says that nobody can tell.
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
  const { workflow_id: workflowId, temporal_run_id: runId, temporal_namespace: namespace } = run;
  const status = await statusOf(client, namespace, { workflowId, runId });
  if (status === RUNNING) return 'open';
  if (status !== CONTINUED_AS_NEW) return 'gone';
  // The newest run of that workflow is what it continues as, or another start of it.
  if ((await statusOf(client, namespace, { workflowId })) !== RUNNING) return 'gone';
  return (await firstRunOf(client, namespace, workflowId)) === runId ? 'open' : 'gone';
}

async function statusOf(
  client: Client,
  namespace: string,
  execution: { workflowId: string; runId?: string },
) {
  const described = client.workflowService.describeWorkflowExecution({ namespace, execution });
  return orNothing(described.then(({ workflowExecutionInfo }) => workflowExecutionInfo?.status));
}

/** Id of the run with which the chain of the newest run of a workflow began. */
async function firstRunOf(client: Client, namespace: string, workflowId: string) {
  const asked = { namespace, execution: { workflowId }, maximumPageSize: 1 };
  const page = client.workflowService.getWorkflowExecutionHistory(asked);
  const first = await orNothing(page.then(({ history }) => history?.events?.[0]));
  return first?.workflowExecutionStartedEventAttributes?.firstExecutionRunId;
}

async function orNothing<T>(asked: Promise<T>): Promise<T | undefined> {
  return asked.catch((error: { code?: number }) => {
    if (error.code === NOT_FOUND) return undefined;
    throw error;
  });
}
