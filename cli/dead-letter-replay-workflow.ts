import {
  WorkflowExecutionAlreadyStartedError,
  type WorkflowHandle,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import { SluiceError } from '../contracts/error-codes.ts';
import { REPLAY_WORKFLOW_TYPE, replayWorkflowId } from '../contracts/names.ts';
import type { ReplayControl, ReplayInput } from '../contracts/replay.ts';
import type { Context } from './context.ts';
import { explainTemporalError } from './explain-temporal-error.ts';
import { CALL_MS, type TemporalAccess } from './temporal-access.ts';

/** The workflow of a plan; its handle follows the newest execution. */
export interface ReplayWorkflow {
  readonly temporal: TemporalAccess;
  readonly handle: WorkflowHandle;
  readonly workflowId: string;
  readonly planHash: string;
}

export async function replayWorkflow(context: Context, planHash: string): Promise<ReplayWorkflow> {
  const temporal = await context.temporal();
  const workflowId = replayWorkflowId(context.targetName(), planHash);
  return { temporal, handle: temporal.client.workflow.getHandle(workflowId), workflowId, planHash };
}

/**
 * Starts a run of a plan.
 *
 * @returns Temporal's id of its first execution
 * @throws SluiceError `replay_under_way`, with the link of the run that is open
 */
export async function startReplay(
  context: Context,
  { temporal, workflowId, planHash, handle }: ReplayWorkflow,
  {
    actor,
    reason,
    letters,
    until,
  }: ReplayControl & { readonly letters: number; readonly until: 'canary' | 'end' },
): Promise<string> {
  const target = context.targetName();
  const input: ReplayInput = { target, planHash, actor, reason, until };
  try {
    const started = await temporal.within(CALL_MS, () =>
      temporal.client.workflow.start(REPLAY_WORKFLOW_TYPE, {
        workflowId,
        taskQueue: context.taskQueue,
        args: [input],
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        staticSummary: `replay of ${letters} dead letters of ${target}, plan ${planHash.slice(0, 16)}`,
        staticDetails: `Started by ${actor}: ${reason}`,
        typedSearchAttributes: new TypedSearchAttributes([
          { key: defineSearchAttributeKey('SluiceTarget', 'KEYWORD'), value: target },
        ]),
      }),
    );
    return started.firstExecutionRunId;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    const state = await described({ temporal, handle });
    throw new SluiceError('replay_under_way', {
      what: `Plan ${planHash.slice(0, 16)} is being replayed: ${temporal.link(workflowId, state?.runId) ?? `workflow ${workflowId}`}.`,
      expected: 'A plan has one run at a time.',
      safe: `Nothing was started. Follow that run: sluice dead-letter replay watch ${planHash.slice(0, 16)} --target ${target}.`,
    });
  }
}

/** The newest execution as Temporal sees it, or null where it knows none. @throws SluiceError `temporal_unreachable` */
export async function described({ temporal, handle }: Pick<ReplayWorkflow, 'temporal' | 'handle'>): Promise<{
  readonly status: string;
  readonly runId: string;
} | null> {
  return asked(async () => {
    try {
      const { status, runId } = await temporal.within(CALL_MS, () => handle.describe());
      return { status: status.name, runId };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return null;
      throw error;
    }
  });
}

/** Errors of Temporal's client as this program's own, so that nobody takes them for the database's. */
export async function asked<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const told = explainTemporalError(error);
    if (told === null || error instanceof SluiceError) throw error;
    throw new SluiceError(told.code, told, { cause: error });
  }
}
