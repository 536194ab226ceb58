import { isDeepStrictEqual } from 'node:util';
import { type Client, ScheduleAlreadyRunning, ScheduleNotFoundError } from '@temporalio/client';
import { type ScheduleRequest, scheduleId } from '../contracts/schedule.ts';
import { scheduleFacts, wantedSchedule } from './wanted-schedule.ts';

/** What applying did, or would do. */
export interface AppliedSchedule {
  readonly applied: 'created' | 'updated' | 'unchanged';
  /** Names of what differed; empty where it was created or is unchanged. */
  readonly differences: readonly string[];
}

/**
 * Makes a schedule exactly what is asked: creates it, or updates what differs. One that is paused stays paused, with its
 * note; applying again changes nothing.
 */
export async function applySchedule(
  client: Client,
  request: ScheduleRequest,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<AppliedSchedule> {
  const wanted = wantedSchedule(request);
  const difference = await compare(client, request);
  if (dryRun || difference.applied === 'unchanged') return difference;
  if (difference.applied === 'created') {
    try {
      await client.schedule.create(wanted);
      return difference;
    } catch (error) {
      // Somebody else created it meanwhile.
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      return applySchedule(client, request);
    }
  }
  const handle = client.schedule.getHandle(wanted.scheduleId);
  const { spec, policies, action, typedSearchAttributes } = wanted;
  await handle.update(({ state }) => ({
    spec,
    action,
    state,
    ...(policies === undefined ? {} : { policies }),
    ...(typedSearchAttributes === undefined ? {} : { typedSearchAttributes }),
  }));
  return difference;
}

async function compare(client: Client, request: ScheduleRequest): Promise<AppliedSchedule> {
  const handle = client.schedule.getHandle(scheduleId(request.target, request.start.name));
  try {
    const is = scheduleFacts(await handle.describe());
    const asked = scheduleFacts(wantedSchedule(request));
    const differences = Object.keys(asked).filter((name) => !isDeepStrictEqual(is[name], asked[name]));
    return { applied: differences.length === 0 ? 'unchanged' : 'updated', differences };
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return { applied: 'created', differences: [] };
    throw error;
  }
}
