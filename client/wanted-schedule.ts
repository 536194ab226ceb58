import type { ScheduleDescription, ScheduleOptions } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import {
  DELIVER_WORKFLOW_TYPE,
  DRAIN_WORKFLOW_TYPE,
  REPLAY_BY_POLICY_WORKFLOW_TYPE,
  RETENTION_WORKFLOW_TYPE,
} from '../contracts/names.ts';
import { SCHEDULE_DEFAULTS, type ScheduleRequest, scheduleId } from '../contracts/schedule.ts';

const WORKFLOW_TYPES = {
  drain: DRAIN_WORKFLOW_TYPE,
  deliver: DELIVER_WORKFLOW_TYPE,
  retention: RETENTION_WORKFLOW_TYPE,
  replay: REPLAY_BY_POLICY_WORKFLOW_TYPE,
} as const;

/** A schedule as it is asked for, in the words of Temporal's client. */
export function wantedSchedule(request: ScheduleRequest): ScheduleOptions {
  const { target, everyMs, jitterMs, taskQueue, actor, reason, start } = request;
  const id = scheduleId(target, start.name);
  const ofTarget = [{ key: defineSearchAttributeKey('SluiceTarget', 'KEYWORD'), value: target }];
  return {
    scheduleId: id,
    spec: { intervals: [{ every: everyMs }], jitter: jitterMs },
    policies: { overlap: 'SKIP', catchupWindow: SCHEDULE_DEFAULTS[start.name].catchupMs },
    action: {
      type: 'startWorkflow',
      workflowType: WORKFLOW_TYPES[start.name],
      // The server appends the time, so the id keeps no second one away; overlap does.
      workflowId: `${start.name}/${target}`,
      taskQueue,
      args: [start.input],
      memo: { schedule: id },
      typedSearchAttributes: ofTarget,
      staticSummary: `${start.name} of ${target}, by its schedule`,
      staticDetails: `Schedule applied by ${actor}: ${reason}`,
    },
    typedSearchAttributes: ofTarget,
  };
}

/**
 * What a schedule does, as facts that can be compared: equal facts mean that applying again changes nothing. Whether it
 * is paused is not among them, and neither is who applied it.
 */
export function scheduleFacts(schedule: ScheduleOptions | ScheduleDescription): Record<string, unknown> {
  const { spec, policies, action } = schedule;
  const intervals = (spec.intervals ?? []).map(({ every, offset }) => ({ every, offset: offset ?? 0 }));
  return {
    intervals,
    jitter: spec.jitter ?? 0,
    otherTimes: [spec.calendars ?? [], spec.skip ?? [], spec.startAt ?? null, spec.endAt ?? null],
    overlap: policies?.overlap ?? null,
    catchupWindow: policies?.catchupWindow ?? null,
    pauseOnFailure: policies?.pauseOnFailure ?? false,
    workflowType: action.workflowType,
    workflowId: action.workflowId,
    taskQueue: action.taskQueue,
    input: action.args ?? [],
    memo: action.memo ?? {},
    summary: action.staticSummary ?? '',
  };
}
