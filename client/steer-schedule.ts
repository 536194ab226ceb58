import { setTimeout as delay } from 'node:timers/promises';
import { type Client, type ScheduleHandle, ScheduleNotFoundError } from '@temporalio/client';
import { SluiceError } from '../contracts/error-codes.ts';
import { type ScheduleName, scheduleId } from '../contracts/schedule.ts';
import { readSchedule, type ScheduledRun } from './read-schedule.ts';

/** How long it is waited for what a trigger did, and how often it is looked, in milliseconds. */
const TRIGGER = { withinMs: 5_000, everyMs: 100 };

/** What became of a trigger; `sent`: the server has not said within five seconds. */
export type Triggered =
  | { readonly answer: 'started'; readonly run: ScheduledRun }
  | { readonly answer: 'skipped' | 'sent'; readonly run: null };

/** Lets no further run start; one that runs goes on. @throws SluiceError `schedule_not_found` */
export function pauseSchedule(
  client: Client,
  target: string,
  name: ScheduleName,
  note: string,
): Promise<void> {
  return steer(client, target, name, (handle) => handle.pause(note));
}

/** Lets runs start again; what was due while it was paused is not made up for. @throws SluiceError `schedule_not_found` */
export function resumeSchedule(
  client: Client,
  target: string,
  name: ScheduleName,
  note: string,
): Promise<void> {
  return steer(client, target, name, (handle) => handle.unpause(note));
}

/** Removes the schedule; a run that it started goes on. @throws SluiceError `schedule_not_found` */
export function deleteSchedule(client: Client, target: string, name: ScheduleName): Promise<void> {
  return steer(client, target, name, (handle) => handle.delete());
}

/**
 * Starts a run now, also of a paused schedule, unless one is running: the overlap policy is passed, because a trigger
 * without one would start a second beside it.
 *
 * @throws SluiceError `schedule_not_found`
 */
export async function triggerSchedule(
  client: Client,
  target: string,
  name: ScheduleName,
): Promise<Triggered> {
  const before = await readSchedule(client, target, name);
  await steer(client, target, name, (handle) => handle.trigger('SKIP'));
  const known = new Set(before?.recent.map(({ workflowId }) => workflowId));
  for (const until = Date.now() + TRIGGER.withinMs; Date.now() < until; await delay(TRIGGER.everyMs)) {
    const now = await readSchedule(client, target, name);
    const started = now?.recent.find(({ workflowId }) => !known.has(workflowId));
    if (started !== undefined)
      return { answer: 'started', run: { workflowId: started.workflowId, runId: started.runId } };
    if ((now?.actions.skippedOverlap ?? 0) > (before?.actions.skippedOverlap ?? 0))
      return { answer: 'skipped', run: null };
  }
  return { answer: 'sent', run: null };
}

async function steer(
  client: Client,
  target: string,
  name: ScheduleName,
  act: (handle: ScheduleHandle) => Promise<void>,
): Promise<void> {
  const id = scheduleId(target, name);
  try {
    await act(client.schedule.getHandle(id));
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    throw new SluiceError('schedule_not_found', {
      what: `There is no schedule ${id}.`,
      expected: `\`sluice schedule apply ${name}\` creates it; \`sluice schedule list\` shows what there is.`,
      safe: 'Nothing was changed.',
    });
  }
}
