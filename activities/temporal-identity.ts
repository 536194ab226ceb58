import type { temporal as proto } from '@temporalio/proto';
import type { ActivityDependencies } from './dependencies.ts';

interface Execution {
  readonly workflowId: string;
  readonly runId: string;
}

type HistoryEvent = proto.api.history.v1.IHistoryEvent;

/** Identity that Temporal recorded for the start of an execution; null where it cannot be read. */
export function startIdentity(
  dependencies: ActivityDependencies,
  execution: Execution,
): Promise<string | null> {
  return findInHistory(
    dependencies,
    execution,
    (event) => event.workflowExecutionStartedEventAttributes?.identity,
  );
}

/** Identity of the caller whose update was accepted under `updateId`. */
export function updateIdentity(
  dependencies: ActivityDependencies,
  execution: Execution,
  updateId: string,
): Promise<string | null> {
  return findInHistory(dependencies, execution, (event) => {
    const meta = event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest?.meta;
    return meta?.updateId === updateId ? meta.identity : undefined;
  });
}

/** Identity of the caller who asked for the cancellation. */
export function cancelIdentity(
  dependencies: ActivityDependencies,
  execution: Execution,
): Promise<string | null> {
  return findInHistory(
    dependencies,
    execution,
    (event) => event.workflowExecutionCancelRequestedEventAttributes?.identity,
  );
}

async function findInHistory(
  { temporal }: ActivityDependencies,
  { workflowId, runId }: Execution,
  find: (event: HistoryEvent) => string | null | undefined,
): Promise<string | null> {
  const service = temporal.client.workflowService;
  let nextPageToken: Uint8Array | undefined;
  do {
    const page = await service
      .getWorkflowExecutionHistory({
        namespace: temporal.namespace,
        execution: { workflowId, runId },
        ...(nextPageToken === undefined ? {} : { nextPageToken }),
      })
      .catch(() => undefined);
    for (const event of page?.history?.events ?? []) {
      const identity = find(event);
      if (identity !== undefined && identity !== null && identity !== '') return identity;
    }
    nextPageToken = page?.nextPageToken?.length ? page.nextPageToken : undefined;
  } while (nextPageToken !== undefined);
  return null;
}
