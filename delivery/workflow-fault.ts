import { MACRO_TASK_QUEUE } from '../contracts/names.ts';
import { routeLimits } from './route-limits.ts';

const TARGET_REF = /^(?<taskQueue>[A-Za-z0-9][\w.:@/-]{0,199})\/(?<type>[A-Za-z_$][\w.$-]{0,199})$/;
/** Task queues whose workflows govern databases: only people and schedules start those. */
const OWN_TASK_QUEUE = /^sluice(?:-|$)/;

/** A workflow, and the task queue that it starts on. */
export interface WorkflowPlace {
  readonly taskQueue: string;
  readonly type: string;
}

/** Reads `<task-queue>/<WorkflowType>`; null where the text is none. */
export function readWorkflowPlace(targetRef: string): WorkflowPlace | null {
  const { taskQueue, type } = TARGET_REF.exec(targetRef)?.groups ?? {};
  return taskQueue === undefined || type === undefined ? null : { taskQueue, type };
}

/** What is wrong with a route to a workflow, in one sentence; null where nothing is. */
export function workflowFault(targetRef: string, config: Readonly<Record<string, unknown>>): string | null {
  const limits = routeLimits('workflow', config);
  if (typeof limits === 'string') return `${limits}.`;
  const place = readWorkflowPlace(targetRef);
  if (place === null) return 'A workflow is named `<task-queue>/<WorkflowType>`.';
  return OWN_TASK_QUEUE.test(place.taskQueue) || place.taskQueue === MACRO_TASK_QUEUE
    ? `Task queue ${place.taskQueue} is one of sluice itself, and events start nothing there.`
    : null;
}
