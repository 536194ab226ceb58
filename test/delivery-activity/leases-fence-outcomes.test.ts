import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  attempts,
  isBalanced,
  liveRoute,
  openDeliveries,
  pump,
  queued,
  queueEvents,
} from './support/deliveries.ts';
import { delivering } from './support/delivering.ts';
import { gateAnswer, type Receiver, startReceiver } from './support/receiver.ts';

vi.setConfig({ testTimeout: 180_000 });

let database: TestDatabase;
let sql: pg.Client;
let receiver: Receiver;
beforeAll(async () => {
  database = await delivering(15);
  sql = await database.connect();
  await openDeliveries(sql);
});
afterEach(async () => {
  await sql.query('update iu_outbound_route set dry_run = true where not dry_run');
  await receiver.close();
});
afterAll(() => database.drop());

/** Ends the lease that a worker holds, and lets somebody else claim what it held. */
async function steal(route: string): Promise<{ token: string; stolen: number }> {
  await sql.query(
    `update iu_route_lease set leased_until = clock_timestamp() - interval '1 ms' where route_code = $1`,
    [route],
  );
  const token = randomUUID();
  const claim = `select count(*)::integer as answer from fn_iu_route_delivery_claim($1, 100, 60000, $2, 'a thief')`;
  return { token, stolen: await ask<number>(sql, claim, [route, token]) };
}

test('a worker whose lease was taken cannot settle: the outcome is refused, and the other one counts', async () => {
  const gate = gateAnswer();
  receiver = await startReceiver(gate.answer);
  await liveRoute(sql, 'stolen', receiver.url);
  await queueEvents(sql, 'stolen', 1);
  const pumping = pump({ url: database.url });
  await waitFor(async () => receiver.open === 1);
  const { token, stolen } = await steal('stolen');
  expect(stolen).toBe(1);
  gate.open();
  expect(await pumping).toMatchObject({ sent: 0, failed: 0, refused: 1 });
  expect(await attempts(sql, 'stolen')).toEqual({});
  const settle = 'select fn_iu_route_delivery_settle($1, $2, $3) as answer';
  const eventId = await ask<string>(
    sql,
    `select event_id as answer from iu_route_delivery where route_code = 'stolen'`,
  );
  const outcome = JSON.stringify([{ event_id: eventId, status: 'sent', delivered: true }]);
  expect(await ask(sql, settle, ['stolen', token, outcome])).toMatchObject({ settled: 1, refused: 0 });
  expect(await attempts(sql, 'stolen')).toEqual({ sent: 1 });
  expect(await isBalanced(sql)).toBe(true);
});

test('what waits behind slow requests keeps its lease for as long as it waits', async () => {
  let slow = false;
  receiver = await startReceiver(async () => {
    if (receiver.ledger.length > 300) slow = true;
    if (slow) await delay(800);
    return 200;
  });
  await liveRoute(sql, 'renewed', receiver.url, { timeout_ms: 1_500 });
  await queueEvents(sql, 'renewed', 400);
  const pumping = pump({ url: database.url, leaseMs: 1_000, concurrency: 8 });
  await waitFor(
    () =>
      ask<boolean>(
        sql,
        `select exists (
           select from iu_route_lease
           where route_code = 'renewed' and leased_until > claimed_at + interval '4 seconds'
         ) as answer`,
      ),
    60_000,
  );
  expect(await pumping).toMatchObject({ sent: 400, failed: 0, refused: 0 });
  expect([...receiver.keys().values()].every((times) => times === 1)).toBe(true);
});

test('a worker whose sessions are killed goes on with new ones, and nothing is sent twice', async () => {
  receiver = await startReceiver(async () => {
    await delay(5);
    return 200;
  });
  await liveRoute(sql, 'killed', receiver.url);
  await queueEvents(sql, 'killed', 2_000);
  const pumping = pump({ url: database.url, concurrency: 8 });
  for (const at of [200, 700, 1_200]) {
    await waitFor(async () => receiver.ledger.length > at, 60_000);
    await sql.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'sluice:deliver' and datname = current_database()`,
    );
  }
  const result = await pumping;
  expect(result.isDone).toBe(true);
  expect(await attempts(sql, 'killed')).toEqual({ sent: 2_000 });
  expect([...receiver.keys().values()].every((times) => times === 1)).toBe(true);
  expect(await isBalanced(sql)).toBe(true);
});

test('an answer that is lost after the commit of a settling is asked for again, and nothing is recorded twice', async () => {
  receiver = await startReceiver();
  await liveRoute(sql, 'cut', receiver.url);
  await queueEvents(sql, 'cut', 300);
  const proxy = await startTcpProxy(database.url);
  let cuts = 0;
  proxy.onRequest = (data) => {
    const isSettling = data.includes('fn_iu_route_delivery_settle') || data.includes('"event_id"');
    if (!isSettling || cuts >= 3) return 'pass';
    cuts += 1;
    return cuts % 2 === 1 ? 'deliver and cut' : 'cut';
  };
  const result = await pump({ url: proxy.url(database.url), concurrency: 8 });
  await proxy.close();
  expect(cuts).toBe(3);
  expect(result.sent + result.refused).toBe(300);
  expect(result.refused).toBeGreaterThan(0);
  expect(await attempts(sql, 'cut')).toEqual({ sent: 300 });
  expect(receiver.ledger).toHaveLength(300);
  expect(await queued(sql, 'cut')).toBe(0);
  expect(await isBalanced(sql)).toBe(true);
});

test('a database that stays away for longer than a lease ends the delivery, and what was held comes back', async () => {
  receiver = await startReceiver(() => delay(20).then(() => 200));
  await liveRoute(sql, 'away', receiver.url, { timeout_ms: 500 });
  await queueEvents(sql, 'away', 2_000);
  const proxy = await startTcpProxy(database.url);
  const pumping = pump({ url: proxy.url(database.url), leaseMs: 1_000, concurrency: 4 });
  const refused = expect(pumping).rejects.toMatchObject({ code: 'target_unreachable' });
  await waitFor(async () => receiver.ledger.length > 20, 60_000);
  await proxy.refuse();
  await refused;
  await proxy.close();
  expect(await pump({ url: database.url, forMs: 3_000 })).toMatchObject({ failed: 0 });
  expect(await attempts(sql, 'away')).toEqual({ sent: 2_000 });
  expect(receiver.keys().size).toBe(2_000);
});
