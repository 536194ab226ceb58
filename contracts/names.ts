/** Task queue of macro workflows and their activities; deliveries get a queue of their own. */
export const MACRO_TASK_QUEUE = 'sluice-macro';

/** Keyword search attributes that `up` and `init` register; the worker refuses to start without them. */
export const SEARCH_ATTRIBUTES = ['SluiceMacro', 'SluiceTarget', 'SluicePhase', 'SluiceOutcome'] as const;

export const MACRO_WORKFLOW_TYPE = 'macro';
export const UNDO_WORKFLOW_TYPE = 'undoMacro';
export const DRAIN_WORKFLOW_TYPE = 'drain';
export const RETENTION_WORKFLOW_TYPE = 'retention';

/** Workflows that a `run` step or the workflow beside an observe window may name; the worker registers each. */
export const PACKAGE_WORKFLOWS = [DRAIN_WORKFLOW_TYPE] as const;

/** One macro at a time per database: the id names the target, so the server refuses a second open run. */
export function macroWorkflowId(target: string): string {
  return `macro/${target}`;
}
