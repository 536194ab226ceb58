import type pg from 'pg';
import { SQLSTATES } from '../contracts/sqlstates.ts';
import { askFunction } from '../target/ask-function.ts';
import { isStatementTimeout, repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import { sqlstateOf } from '../target/sqlstate-of.ts';
import type { Transact } from '../target/transact.ts';
import type { BatchOptions, WorkerRun } from './drain-once.ts';

/** Events of one transaction at most. */
const EVENTS_PER_TRANSACTION = 100;
/** After so long a transaction takes no further event: an open one holds back the high-water mark of everybody. */
const TRANSACTION_MS = 5_000;

/** What `fn_iu_route_worker_next` answers: the event after the cursor, and the enabled routes that it may match. */
interface NextEvent {
  readonly event_id: string;
  readonly routes: readonly string[];
}

/** Sums of one transaction. */
interface Progress {
  status: string;
  seen: number;
  attempts: number;
  deadLettered: number;
  isEmpty: boolean;
}

/**
 * Drains up to one batch event by event, each call of a route its own top-level statement under its own
 * `statement_timeout` between SAVEPOINT and RELEASE. An event whose whole set of routes fails is repeated route by
 * route; a route that fails alone is recorded as a dead letter, and the others are decided. Transactions are small
 * ({@link EVENTS_PER_TRANSACTION}, {@link TRANSACTION_MS}), so closing a gate waits for little.
 *
 * @throws the error where it says nothing about the event: connection, resources, a person's cancellation; and after
 * the last try, a deadlock, a serialization failure, a lock or statement timeout. The transaction is rolled back then
 */
export async function drainSlowly(
  client: pg.Client,
  transact: Transact,
  options: BatchOptions,
): Promise<WorkerRun> {
  const doing = `Draining cursor ${options.cursorCode} event by event`;
  const sum: Progress = { status: 'ran', seen: 0, attempts: 0, deadLettered: 0, isEmpty: false };
  do {
    const part = await repeatLostTransaction({ doing, statementTimeoutMs: options.statementTimeoutMs }, () =>
      transact('read write', () => drainTransaction(client, options, options.batchSize - sum.seen)),
    );
    sum.status = part.status;
    sum.seen += part.seen;
    sum.attempts += part.attempts;
    sum.deadLettered += part.deadLettered;
    sum.isEmpty = part.isEmpty;
  } while (!sum.isEmpty && sum.seen < options.batchSize && options.signal?.aborted !== true);
  return {
    status: sum.status,
    seen: sum.seen,
    attempts_written: sum.attempts,
    dead_lettered: sum.deadLettered,
  };
}

async function drainTransaction(client: pg.Client, options: BatchOptions, limit: number): Promise<Progress> {
  const { cursorCode } = options;
  const sum: Progress = { status: 'ran', seen: 0, attempts: 0, deadLettered: 0, isEmpty: true };
  const { status } = await askFunction<{ status: string }>(client, 'fn_iu_route_worker_open($1)', [
    cursorCode,
  ]);
  if (status !== 'open') return { ...sum, status };
  const startedAt = performance.now();
  while (sum.seen < Math.min(limit, EVENTS_PER_TRANSACTION)) {
    if (sum.seen > 0 && performance.now() - startedAt > TRANSACTION_MS) return { ...sum, isEmpty: false };
    const next = await askFunction<NextEvent | null>(client, 'fn_iu_route_worker_next($1)', [cursorCode]);
    if (next === null) return sum;
    const { attempts, deadLettered } = await settle(client, options, next);
    sum.seen += 1;
    sum.attempts += attempts;
    sum.deadLettered += deadLettered;
  }
  return { ...sum, isEmpty: false };
}

interface Settled {
  readonly attempts: number;
  readonly deadLettered: number;
}

/**
 * Decides about an event and moves the cursor past it: all routes at once, and where that fails, each alone, so that
 * only the culprit is dead-lettered. Where no route fails alone and none takes the event, the event as a whole is.
 */
async function settle(
  client: pg.Client,
  options: BatchOptions,
  { event_id, routes }: NextEvent,
): Promise<Settled> {
  const whole = await tryStep(client, options, event_id, null);
  if (!whole.failed) {
    await advance(client, options, event_id);
    return { attempts: whole.attempts, deadLettered: 0 };
  }
  const sum = { attempts: 0, deadLettered: 0 };
  for (const route of routes) {
    const alone = await tryStep(client, options, event_id, route);
    if (alone.failed) {
      await recordFailure(client, options, event_id, route, alone);
      sum.deadLettered += 1;
    }
    sum.attempts += alone.failed ? 1 : alone.attempts;
  }
  if (await isAccountedFor(client, options, event_id)) return sum;
  await recordFailure(client, options, event_id, null, whole);
  await advance(client, options, event_id);
  return { attempts: sum.attempts + 1, deadLettered: sum.deadLettered + 1 };
}

/** Moves on where something is recorded about the event: an attempt, or that it is held back. */
async function isAccountedFor(client: pg.Client, options: BatchOptions, eventId: string): Promise<boolean> {
  await client.query('savepoint sluice_advance');
  try {
    await advance(client, options, eventId);
    await client.query('release savepoint sluice_advance');
    return true;
  } catch (error) {
    if (sqlstateOf(error) !== SQLSTATES.runNotAllowed) throw error;
    await client.query('rollback to savepoint sluice_advance; release savepoint sluice_advance');
    return false;
  }
}

async function advance(client: pg.Client, { cursorCode }: BatchOptions, eventId: string): Promise<void> {
  await askFunction(client, 'fn_iu_route_worker_advance($1, $2)', [cursorCode, eventId]);
}

type Step =
  | { readonly failed: false; readonly attempts: number }
  | { readonly failed: true; readonly sqlstate: string; readonly message: string };

/** One call of one or all routes for one event, undone where it fails. */
async function tryStep(
  client: pg.Client,
  { cursorCode, eventTimeoutMs, statementTimeoutMs }: BatchOptions,
  eventId: string,
  route: string | null,
): Promise<Step> {
  await client.query(
    `savepoint sluice_step; set local statement_timeout = ${Math.max(1, Math.trunc(eventTimeoutMs))}`,
  );
  const startedAt = performance.now();
  try {
    const step = 'fn_iu_route_worker_step($1, $2, $3)';
    const attempts = await askFunction<number>(client, step, [cursorCode, eventId, route]);
    await client.query(
      `release savepoint sluice_step; set local statement_timeout = ${Math.trunc(statementTimeoutMs)}`,
    );
    return { failed: false, attempts };
  } catch (error) {
    const tookMs = performance.now() - startedAt;
    if (!isOfTheEvent(error, tookMs, eventTimeoutMs)) throw error;
    await client.query('rollback to savepoint sluice_step; release savepoint sluice_step');
    return { failed: true, sqlstate: sqlstateOf(error), message: messageOf(error) };
  }
}

/**
 * Whether an error tells something about this event; any other would come to every event, or is gone the next time.
 * `fn_iu_route_worker_run` draws the same line.
 */
function isOfTheEvent(error: unknown, tookMs: number, eventTimeoutMs: number): boolean {
  const sqlstate = sqlstateOf(error);
  if (isStatementTimeout(error, tookMs, eventTimeoutMs)) return true;
  return sqlstate !== '' && sqlstate !== '55P03' && !/^(?:25|40|53|57)/.test(sqlstate);
}

async function recordFailure(
  client: pg.Client,
  { cursorCode }: BatchOptions,
  eventId: string,
  route: string | null,
  { sqlstate, message }: { readonly sqlstate: string; readonly message: string },
): Promise<void> {
  const fail = 'fn_iu_route_worker_fail($1, $2, $3, $4, $5)';
  await askFunction(client, fail, [cursorCode, eventId, route, sqlstate, message]);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
