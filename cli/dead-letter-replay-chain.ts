import type { ReplayExecution, ReplayRun } from '../evidence/replay-report.ts';
import { asked, type ReplayWorkflow } from './dead-letter-replay-workflow.ts';
import { CALL_MS } from './temporal-access.ts';

/** Executions that are looked at; the newest. */
const MOST = 200;

/**
 * Every execution of a plan's workflow that Temporal still has, the first one first, each with the run that it is part of.
 *
 * @throws SluiceError `temporal_unreachable`
 */
export async function readChain(
  { temporal, workflowId }: ReplayWorkflow,
  runs: readonly ReplayRun[],
): Promise<readonly ReplayExecution[]> {
  const { client } = temporal;
  const ids = await asked(() => temporal.within(CALL_MS, () => idsOf()));
  const found = await Promise.all(
    ids.map((id) =>
      asked(() => temporal.within(CALL_MS, () => client.workflow.getHandle(workflowId, id).describe())),
    ),
  );
  return found
    .map(({ runId, status, historyLength, startTime, closeTime, raw }): ReplayExecution => {
      const firstRunId = raw.workflowExecutionInfo?.firstRunId;
      return {
        runNo: runs.find((run) => run.runId === firstRunId)?.runNo ?? null,
        runId,
        status: status.name,
        historyLength,
        startedAt: startTime.toISOString(),
        endedAt: closeTime?.toISOString() ?? null,
        link: temporal.link(workflowId, runId),
      };
    })
    .sort((a, b) => a.startedAt.localeCompare(b.startedAt));

  /** What is listed, with the newest one, which the list may not know yet. */
  async function idsOf(): Promise<readonly string[]> {
    const listed = new Set<string>();
    const newest = await client.workflow
      .getHandle(workflowId)
      .describe()
      .catch((error: unknown) => {
        if (error instanceof Error && error.name === 'WorkflowNotFoundError') return null;
        throw error;
      });
    if (newest !== null) listed.add(newest.runId);
    for await (const { runId } of client.workflow.list({
      query: `WorkflowId = ${JSON.stringify(workflowId)}`,
    })) {
      listed.add(runId);
      if (listed.size >= MOST) break;
    }
    return [...listed];
  }
}
