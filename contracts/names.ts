/** Task queue of macro workflows and their activities; deliveries have a queue of their own. */
export const MACRO_TASK_QUEUE = 'sluice-macro';

/** The two kinds of work that a worker does, each with a task queue and slots of its own. */
export const WORKER_ROLES = ['macro', 'delivery'] as const;
export type WorkerRole = (typeof WORKER_ROLES)[number];

/** Task queue of the activities that deliver, beside a queue of macros: a flood of deliveries takes no slot of a macro. */
export function deliveryTaskQueue(macroTaskQueue: string): string {
  return macroTaskQueue === MACRO_TASK_QUEUE ? 'sluice-delivery' : `${macroTaskQueue}-delivery`;
}

/** Keyword search attributes that `up` and `init` register; the worker refuses to start without them. */
export const SEARCH_ATTRIBUTES = ['SluiceMacro', 'SluiceTarget', 'SluicePhase', 'SluiceOutcome'] as const;

export const MACRO_WORKFLOW_TYPE = 'macro';
export const UNDO_WORKFLOW_TYPE = 'undoMacro';
export const DRAIN_WORKFLOW_TYPE = 'drain';
export const DELIVER_WORKFLOW_TYPE = 'deliver';
export const RETENTION_WORKFLOW_TYPE = 'retention';
export const REPLAY_WORKFLOW_TYPE = 'replayDeadLetters';
export const REPLAY_BY_POLICY_WORKFLOW_TYPE = 'replayByPolicy';

/** Workflows that a `run` step or the workflow beside an observe window may name; the worker registers each. */
export const PACKAGE_WORKFLOWS = [DRAIN_WORKFLOW_TYPE, DELIVER_WORKFLOW_TYPE, REPLAY_WORKFLOW_TYPE] as const;

/** One macro at a time per database: the id names the target, so the server refuses a second open run. */
export function macroWorkflowId(target: string): string {
  return `macro/${target}`;
}

/** One replay of a plan at a time: the server refuses a second open run. */
export function replayWorkflowId(target: string, planHash: string): string {
  return `replay/${target}/${planHash.slice(0, 16)}`;
}
