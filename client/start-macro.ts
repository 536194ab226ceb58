import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  type WorkflowHandleWithFirstExecutionRunId,
} from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import { SluiceError } from '../contracts/error-codes.ts';
import type { MacroInput, UndoInput } from '../contracts/macro-run.ts';
import {
  MACRO_TASK_QUEUE,
  MACRO_WORKFLOW_TYPE,
  macroWorkflowId,
  UNDO_WORKFLOW_TYPE,
} from '../contracts/names.ts';

export interface StartOptions {
  readonly client: Client;
  /** Shown in the list of workflows. */
  readonly macro: string;
  readonly taskQueue?: string;
}

/**
 * Starts a macro run. The workflow id names the target, so the server refuses a second one while one is open.
 *
 * @throws SluiceError `target_conflict`
 */
export function startMacro(
  options: StartOptions,
  input: MacroInput,
): Promise<WorkflowHandleWithFirstExecutionRunId> {
  return start(options, MACRO_WORKFLOW_TYPE, input, `${options.macro} on ${input.target}`);
}

/** Starts the undo of a run that has ended or was terminated, under the same workflow id. */
export function startUndo(
  options: StartOptions,
  input: UndoInput,
): Promise<WorkflowHandleWithFirstExecutionRunId> {
  return start(options, UNDO_WORKFLOW_TYPE, input, `rollback of ${options.macro} on ${input.target}`);
}

async function start(
  { client, macro, taskQueue }: StartOptions,
  type: string,
  input: MacroInput | UndoInput,
  summary: string,
): Promise<WorkflowHandleWithFirstExecutionRunId> {
  const workflowId = macroWorkflowId(input.target);
  try {
    return await client.workflow.start(type, {
      workflowId,
      taskQueue: taskQueue ?? MACRO_TASK_QUEUE,
      args: [input],
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
      staticSummary: summary,
      staticDetails: `Started by ${input.actor}: ${input.reason}${input.ticket === undefined ? '' : ` (${input.ticket})`}`,
      typedSearchAttributes: new TypedSearchAttributes([
        { key: defineSearchAttributeKey('SluiceMacro', 'KEYWORD'), value: macro },
        { key: defineSearchAttributeKey('SluiceTarget', 'KEYWORD'), value: input.target },
      ]),
    });
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new SluiceError('target_conflict', {
      what: `A run is open on target ${input.target} (workflow ${workflowId}).`,
      expected: 'One macro at a time per database.',
      safe: 'Nothing was started. Wait for that run, or cancel it: it rolls itself back.',
    });
  }
}
