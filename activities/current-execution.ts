import { activityInfo } from '@temporalio/activity';

/** The workflow execution that this activity serves; the engine's activities are never started on their own. */
export function currentExecution(): { readonly workflowId: string; readonly runId: string } {
  const { workflowExecution } = activityInfo();
  if (workflowExecution === undefined) throw new Error('this activity belongs to a workflow');
  return workflowExecution;
}
