import type pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { queueEvents } from '../delivery-activity/support/deliveries.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { waitFor } from '../support/wait-for.ts';
import { deliveryFailures, deliveryVerdict } from './support/delivery-verdict.ts';
import { attemptsOf, deliverNow, openDatabase, queued, signedRoute } from './support/faulty.ts';
import { type Ledger, startLedger, turnstile } from './support/ledger.ts';
import { SIGNED_DELIVERY } from './support/pump-process.ts';

vi.setConfig({ testTimeout: 120_000 });

const EVENTS = 300;
const AT_ONCE = 4;

let database: TestDatabase;
let sql: pg.Client;
let ledger: Ledger;
beforeEach(async () => {
  [{ database, sql }, ledger] = await Promise.all([openDatabase(), startLedger()]);
});
afterEach(async () => {
  await ledger.close();
  await database.drop();
});

const change = (what: string) => sql.query(`update iu_outbound_route set ${what} where route_code = 'out'`);
const recall = () => ask(sql, `select fn_iu_route_delivery_recall('out', 5000, 'ana', 'a test') as answer`);

/** Has `AT_ONCE` requests under way, more claimed, and the rest queued. */
async function underWay() {
  const gate = turnstile();
  ledger.answer('out', gate.answer);
  await signedRoute(sql, 'out', ledger, { timeout_ms: 60_000 });
  await queueEvents(sql, 'out', EVENTS);
  const delivering = deliverNow(database.url, { delivery: { ...SIGNED_DELIVERY, concurrency: AT_ONCE } });
  delivering.catch(() => undefined);
  await ledger.until(AT_ONCE);
  return { gate, delivering };
}

/** Waits until the worker has looked at the queue twice: it acts on the first look before the second. */
async function untilLookedAt(): Promise<void> {
  for (let looks = 0; looks < 2; looks += 1) {
    const now = await ask<string>(sql, 'select clock_timestamp()::text as answer');
    await waitFor(() =>
      ask<boolean>(
        sql,
        `select exists (
           select from pg_stat_activity
           where datname = current_database() and query ~ 'fn_iu_route_delivery_work' and query_start > $1::timestamptz
             and application_name like 'sluice%'
         ) as answer`,
        [now],
      ),
    );
  }
}

test('a route turned to dry run: what is under way is settled, the rest stays queued and is sent when it is live again', async () => {
  const { gate, delivering } = await underWay();
  await change('dry_run = true');
  await untilLookedAt();
  gate.open(200);
  expect(await delivering).toMatchObject({ sent: AT_ONCE, failed: 0 });
  expect(await queued(sql, 'out')).toBe(EVENTS - AT_ONCE);
  expect(await deliverNow(database.url)).toMatchObject({ sent: 0, failed: 0, isDone: true });
  expect(ledger.entries).toHaveLength(AT_ONCE);

  await change('dry_run = false');
  expect(await deliverNow(database.url)).toMatchObject({ sent: EVENTS - AT_ONCE });
  expect(ledger.entries).toHaveLength(EVENTS);
  expect(await attemptsOf(sql, 'out')).toEqual({ '#1 sent': EVENTS });
  expect(deliveryFailures(await deliveryVerdict(sql, [ledger]))).toEqual([]);
});

test.each([
  { to: 'dry run', by: 'dry_run = true', status: 'dry_run' },
  { to: 'off', by: 'enabled = false', status: 'skipped' },
])('a route switched to $to: its queue is recalled, what is under way is not', async ({ by, status }) => {
  const { gate, delivering } = await underWay();
  await change(by);
  await untilLookedAt();
  // What was claimed beyond the requests under way is held as long as they are.
  const first = (await recall()) as { recalled: number; still_queued: number };
  expect(first.recalled + first.still_queued).toBe(EVENTS);
  expect(first.still_queued).toBeGreaterThanOrEqual(AT_ONCE);
  gate.open(200);
  expect(await delivering).toMatchObject({ sent: AT_ONCE, failed: 0, refused: 0 });
  expect(await recall()).toMatchObject({ still_queued: 0 });
  expect(await attemptsOf(sql, 'out')).toEqual({ '#1 sent': AT_ONCE, [`#1 ${status}`]: EVENTS - AT_ONCE });
  expect(ledger.entries).toHaveLength(AT_ONCE);
  const verdict = await deliveryVerdict(sql, [ledger]);
  expect(deliveryFailures(verdict)).toEqual([]);
  expect(verdict).toMatchObject({ sent: AT_ONCE, leftOut: EVENTS - AT_ONCE });
});

test('a route deleted: nothing further is begun, the rest becomes dead letters', async () => {
  const { gate, delivering } = await underWay();
  await sql.query(`delete from iu_outbound_route where route_code = 'out'`);
  await untilLookedAt();
  gate.open(200);
  expect(await delivering).toMatchObject({ sent: AT_ONCE });
  expect(ledger.entries).toHaveLength(AT_ONCE);
  expect(await queued(sql, 'out')).toBe(0);
  expect(await attemptsOf(sql, 'out')).toEqual({
    '#1 sent': AT_ONCE,
    '#1 failed route_removed': EVENTS - AT_ONCE,
  });
  const verdict = await deliveryVerdict(sql, [ledger]);
  expect(deliveryFailures(verdict)).toEqual([]);
  expect(verdict).toMatchObject({ sent: AT_ONCE, dead: EVENTS - AT_ONCE });
});

test('a gate closed: closing waits for what is under way and names who has it, then nothing is sent until it is open', async () => {
  const { gate, delivering } = await underWay();
  await sql.query(`select fn_iu_gate_close('iu_core.delivery_enabled', 'ana', 'a test')`);
  await sql.query(`set lock_timeout = '200ms'`);
  const wait = () => ask(sql, `select fn_iu_gate_wait('iu_core.delivery_enabled') as answer`);
  await expect(wait()).rejects.toThrow(/a run is still under way: pid \d+ .*sluice:deliver/);
  gate.open(200);
  await sql.query(`set lock_timeout = '30s'`);
  await expect(wait()).resolves.toMatchObject({ status: 'closed' });
  const arrived = ledger.entries.length;
  expect(arrived).toBeGreaterThanOrEqual(AT_ONCE);
  expect(await attemptsOf(sql, 'out')).toEqual({ '#1 sent': arrived });
  expect(await delivering).toMatchObject({ sent: arrived, status: 'delivery_gate_closed' });
  expect(await deliverNow(database.url)).toMatchObject({ sent: 0, status: 'delivery_gate_closed' });
  expect(ledger.entries).toHaveLength(arrived);

  await sql.query(`update dot_config set value = 'true' where key = 'iu_core.delivery_enabled'`);
  expect(await deliverNow(database.url)).toMatchObject({ sent: EVENTS - arrived });
  expect(ledger.entries).toHaveLength(EVENTS);
  expect(deliveryFailures(await deliveryVerdict(sql, [ledger]))).toEqual([]);
});
