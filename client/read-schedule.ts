import { type Client, type ScheduleDescription, ScheduleNotFoundError } from '@temporalio/client';
import { type ScheduleName, scheduleId } from '../contracts/schedule.ts';

/** A workflow that a schedule started. */
export interface ScheduledRun {
  readonly workflowId: string;
  readonly runId: string;
}

/** A schedule as it stands. Durations are milliseconds, times ISO 8601. */
export interface ScheduleView {
  readonly name: ScheduleName;
  readonly id: string;
  readonly everyMs: number | null;
  readonly jitterMs: number;
  readonly overlap: string;
  readonly catchupMs: number;
  readonly paused: boolean;
  readonly note: string;
  readonly taskQueue: string;
  readonly workflowType: string;
  readonly input: unknown;
  readonly running: readonly ScheduledRun[];
  /** The newest first; Temporal keeps ten. */
  readonly recent: readonly (ScheduledRun & { readonly scheduledAt: string; readonly startedAt: string })[];
  readonly actions: {
    readonly taken: number;
    /** Not started, because the one before was still running. */
    readonly skippedOverlap: number;
    /** Not started, because it was too late: Temporal was away for longer than the catch-up window. */
    readonly missedCatchup: number;
  };
  readonly next: readonly string[];
}

/** The schedule of a target, or null where there is none. */
export async function readSchedule(
  client: Client,
  target: string,
  name: ScheduleName,
): Promise<ScheduleView | null> {
  try {
    return viewOf(name, await client.schedule.getHandle(scheduleId(target, name)).describe());
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return null;
    throw error;
  }
}

function viewOf(name: ScheduleName, found: ScheduleDescription): ScheduleView {
  const { spec, policies, state, action, info } = found;
  return {
    name,
    id: found.scheduleId,
    everyMs: spec.intervals?.[0]?.every ?? null,
    jitterMs: spec.jitter ?? 0,
    overlap: policies.overlap ?? 'UNSPECIFIED',
    catchupMs: policies.catchupWindow,
    paused: state.paused,
    note: state.note ?? '',
    taskQueue: action.taskQueue,
    workflowType: action.workflowType,
    input: action.args?.[0] ?? null,
    running: info.runningActions.map(({ workflow }) => runOf(workflow)),
    recent: info.recentActions
      .map(({ action: { workflow }, scheduledAt, takenAt }) => ({
        ...runOf(workflow),
        scheduledAt: scheduledAt.toISOString(),
        startedAt: takenAt.toISOString(),
      }))
      .reverse(),
    actions: {
      taken: info.numActionsTaken,
      skippedOverlap: info.numActionsSkippedOverlap,
      missedCatchup: info.numActionsMissedCatchupWindow,
    },
    next: info.nextActionTimes.map((time) => time.toISOString()),
  };
}

function runOf({
  workflowId,
  firstExecutionRunId,
}: {
  workflowId: string;
  firstExecutionRunId: string;
}): ScheduledRun {
  return { workflowId, runId: firstExecutionRunId };
}
