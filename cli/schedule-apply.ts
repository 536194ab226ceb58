import { applySchedule } from '../client/apply-schedule.ts';
import { DELIVER_DEFAULTS } from '../contracts/deliver.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import {
  SCHEDULE_DEFAULTS,
  type ScheduleName,
  type ScheduleRequest,
  scheduleId,
} from '../contracts/schedule.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { type Context, withContext } from './context.ts';
import type { ChangeOptions } from './options.ts';
import { printResult } from './print.ts';
import { sayDuration } from './say-duration.ts';
import { CALL_MS } from './temporal-access.ts';
import { usage } from './usage.ts';

type ApplyOptions = ChangeOptions & {
  /** Milliseconds. */
  readonly every?: number;
  /** Milliseconds. */
  readonly jitter?: number;
  readonly batch: number;
  readonly cursor: string;
  readonly apply?: boolean;
};

/** Pause of a drain between two looks; a scheduled one ends with the first that finds nothing. */
const IDLE_MS = 500;

/** A scheduled delivery ends so long before the next one starts, in milliseconds. */
const DELIVER_REST_MS = 2_000;

/** `sluice schedule apply drain|deliver|retention|replay` */
export function scheduleApply([named]: readonly string[], options: ApplyOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const name = named as ScheduleName;
    const request = await requestOf(context, name, options);
    const { target, everyMs, jitterMs, taskQueue, actor, reason, start } = request;
    if (name === 'retention' && options.apply === true && options.dryRun !== true)
      await confirm(`Let every run of ${scheduleId(target, name)} drop partitions that may leave?`, options);
    const temporal = await context.temporal();
    const done = await temporal.within(CALL_MS, () =>
      applySchedule(temporal.client, request, { dryRun: options.dryRun === true }),
    );
    const result = {
      schedule: scheduleId(target, name),
      dryRun: options.dryRun === true,
      ...done,
      target,
      name,
      everyMs,
      jitterMs,
      taskQueue,
      input: start.input,
      actor,
      reason,
    };
    printResult(context.output, result, () =>
      [
        `${result.schedule} ${options.dryRun === true ? 'would be ' : ''}${done.applied}: every ${sayDuration(everyMs)}, up to ${sayDuration(jitterMs)} late, on task queue ${taskQueue}`,
        ...(done.differences.length === 0 ? [] : [`changed: ${done.differences.join(', ')}`]),
      ].join('\n'),
    );
    return EXIT.done;
  });
}

async function requestOf(
  context: Context,
  name: ScheduleName,
  options: ApplyOptions,
): Promise<ScheduleRequest> {
  const target = context.targetName();
  const { everyMs, jitterMs } = SCHEDULE_DEFAULTS[name];
  const every = options.every ?? everyMs;
  if (every < 1_000 || every % 1_000 !== 0)
    throw usage('--every is less than a second, or no whole number of them.', 'Pass --every 1s or more.');
  const { actor, reason, ticket } = await controlOf(options, context.env);
  const why = ticket === undefined ? reason : `${reason} (${ticket})`;
  return {
    target,
    everyMs: every,
    jitterMs: options.jitter ?? Math.min(jitterMs, every / 2),
    taskQueue: context.taskQueue,
    actor,
    reason: why,
    start: startOf(name),
  };

  function startOf(schedule: ScheduleName): ScheduleRequest['start'] {
    switch (schedule) {
      case 'drain': {
        const { cursor: cursorCode, batch: batchSize } = options;
        return { name: schedule, input: { target, cursorCode, batchSize, forMs: 0, idleMs: IDLE_MS } };
      }
      case 'deliver': {
        const forMs = Math.max(0, every - DELIVER_REST_MS);
        return { name: schedule, input: { target, forMs, idleMs: DELIVER_DEFAULTS.idleMs } };
      }
      case 'retention':
        return { name: schedule, input: { target, apply: options.apply === true, actor, reason: why } };
      case 'replay':
        return { name: schedule, input: { target, actor, reason: why } };
    }
  }
}
