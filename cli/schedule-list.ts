import { readSchedule, type ScheduledRun, type ScheduleView } from '../client/read-schedule.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { SCHEDULE_NAMES } from '../contracts/schedule.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { withSession } from '../target/open-session.ts';
import { type Context, withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { healthOf } from './outbox-health.ts';
import { printResult } from './print.ts';
import { sayDuration } from './say-duration.ts';
import { CALL_MS, type TemporalAccess } from './temporal-access.ts';
import { textTable } from './text-table.ts';

/** How the outbox is, read from its database: a schedule that starts on time proves nothing about it. */
interface OutboxLag {
  readonly healthy: boolean;
  readonly reasons: readonly string[];
  readonly backlog: number;
  readonly oldestUnroutedSeconds: number;
  readonly lagSeconds: number;
}

type Linked<T extends ScheduledRun> = T & { readonly link: string | null };

interface ListedSchedule extends Omit<ScheduleView, 'running' | 'recent'> {
  readonly running: readonly Linked<ScheduledRun>[];
  readonly recent: readonly Linked<ScheduleView['recent'][number]>[];
}

interface ListedTarget {
  readonly target: string;
  /** Null where the database does not tell, and then `problem` says why. */
  readonly outbox: OutboxLag | null;
  readonly problem: string | null;
  readonly schedules: readonly ListedSchedule[];
}

/** `sluice schedule list`: every configured target, or the one that `--target` names. */
export function scheduleList(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const temporal = await context.temporal();
    const names = options.target === undefined ? Object.keys(context.config.targets) : [context.targetName()];
    const targets = await Promise.all(names.map((name) => readTarget(context, temporal, name)));
    printResult(context.output, targets, () => targets.map(targetText).join('\n\n'));
    return EXIT.done;
  });
}

async function readTarget(context: Context, temporal: TemporalAccess, target: string): Promise<ListedTarget> {
  const [lag, ...found] = await Promise.all([
    readLag(context, target).catch((error: unknown) => mapDatabaseError(error, target).message),
    ...SCHEDULE_NAMES.map((name) =>
      temporal.within(CALL_MS, () => readSchedule(temporal.client, target, name)),
    ),
  ]);
  const linked = <T extends ScheduledRun>(run: T) => ({
    ...run,
    link: temporal.link(run.workflowId, run.runId),
  });
  return {
    target,
    outbox: typeof lag === 'string' ? null : lag,
    problem: typeof lag === 'string' ? lag : null,
    schedules: found
      .filter((one) => one !== null)
      .map((one) => ({ ...one, running: one.running.map(linked), recent: one.recent.map(linked) })),
  };
}

async function readLag(context: Context, target: string): Promise<OutboxLag> {
  const { url, schema } = await context.target(target);
  const limits = { schema, lockTimeoutMs: 1_000, statementTimeoutMs: 10_000 };
  return withSession({ url, applicationName: 'sluice: schedule list' }, (client) =>
    inTransaction(client, 'read only', limits, async () => {
      const { healthy, reasons, backlog, oldestUnroutedSeconds, highWaterMark } = await healthOf(client);
      return { healthy, reasons, backlog, oldestUnroutedSeconds, lagSeconds: highWaterMark.lagSeconds };
    }),
  );
}

function targetText({ target, outbox, problem, schedules }: ListedTarget): string {
  const said =
    outbox === null
      ? `outbox unknown: ${problem}`
      : `outbox ${outbox.healthy ? 'healthy' : `not healthy: ${outbox.reasons.join('; ')}`}, backlog ${outbox.backlog}, the oldest ${outbox.oldestUnroutedSeconds} s old, high-water mark ${outbox.lagSeconds} s behind`;
  const absent = SCHEDULE_NAMES.filter((name) => schedules.every((one) => one.name !== name));
  return [
    `target ${target}: ${said}`,
    ...(schedules.length === 0 ? [] : [table(schedules)]),
    ...schedules.flatMap(lines),
    ...absent.map((name) => `no ${name} schedule: sluice schedule apply ${name}`),
  ].join('\n');
}

function table(schedules: readonly ListedSchedule[]): string {
  return textTable(
    ['schedule', 'state', 'every', 'jitter', 'overlap', 'taken', 'skipped', 'missed', 'next'],
    schedules.map(({ name, paused, everyMs, jitterMs, overlap, actions, next }) => [
      name,
      paused ? 'paused' : 'on',
      everyMs === null ? 'other times' : sayDuration(everyMs),
      sayDuration(jitterMs),
      overlap,
      actions.taken,
      actions.skippedOverlap,
      actions.missedCatchup,
      paused ? '' : (next[0] ?? ''),
    ]),
  );
}

function lines({ name, note, running, recent }: ListedSchedule): readonly string[] {
  const last = recent[0];
  return [
    ...(note === '' ? [] : [`${name}  ${note}`]),
    ...running.map(({ workflowId, link }) => `${name}  running ${link ?? workflowId}`),
    ...(last === undefined || running.some(({ workflowId }) => workflowId === last.workflowId)
      ? []
      : [`${name}  last ${last.startedAt} ${last.link ?? last.workflowId}`]),
  ];
}
