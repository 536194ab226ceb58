import type { DeliverInput } from './deliver.ts';
import type { DrainInput } from './drain.ts';
import type { ReplayByPolicyInput } from './replay.ts';
import type { RetentionInput } from './retention.ts';

/** Schedules that `sluice schedule` keeps, one of each for a target. */
export const SCHEDULE_NAMES = ['drain', 'deliver', 'retention', 'replay'] as const;
export type ScheduleName = (typeof SCHEDULE_NAMES)[number];

/** Id of a schedule in Temporal. */
export function scheduleId(target: string, name: ScheduleName): string {
  return `sluice/${target}/${name}`;
}

/** What a schedule is asked to be. Durations are milliseconds. */
export interface ScheduleRequest {
  readonly target: string;
  readonly everyMs: number;
  /** Each start is late by up to so much, so that many targets do not start at once. */
  readonly jitterMs: number;
  readonly taskQueue: string;
  readonly actor: string;
  readonly reason: string;
  readonly start:
    | { readonly name: 'drain'; readonly input: DrainInput }
    | { readonly name: 'deliver'; readonly input: DeliverInput }
    | { readonly name: 'retention'; readonly input: RetentionInput }
    | { readonly name: 'replay'; readonly input: ReplayByPolicyInput };
}

/** How often each starts where nobody says otherwise, and how late a start may be made up for. */
export const SCHEDULE_DEFAULTS: Readonly<
  Record<ScheduleName, { everyMs: number; jitterMs: number; catchupMs: number }>
> = {
  drain: { everyMs: 10_000, jitterMs: 1_000, catchupMs: 30_000 },
  deliver: { everyMs: 10_000, jitterMs: 1_000, catchupMs: 30_000 },
  retention: { everyMs: 86_400_000, jitterMs: 600_000, catchupMs: 3_600_000 },
  replay: { everyMs: 300_000, jitterMs: 10_000, catchupMs: 30_000 },
};
