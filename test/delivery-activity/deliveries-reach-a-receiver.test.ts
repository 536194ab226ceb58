import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { deliveryRegistry } from '../../delivery/delivery-registry.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import {
  attempts,
  isBalanced,
  LOCAL_DELIVERY,
  liveRoute,
  openDeliveries,
  pump,
  queued,
  queueEvents,
} from './support/deliveries.ts';
import { delivering } from './support/delivering.ts';
import { type Receiver, startReceiver } from './support/receiver.ts';

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

test('one event is delivered, and its attempt says so', async () => {
  receiver = await startReceiver();
  await liveRoute(sql, 'one', receiver.url);
  await queueEvents(sql, 'one', 1);
  expect(await queued(sql, 'one')).toBe(1);
  const result = await pump({ url: database.url });
  expect(result).toMatchObject({ sent: 1, failed: 0, refused: 0, inFlight: 0, status: 'open', isDone: true });
  const [received] = receiver.ledger;
  expect(receiver.ledger).toHaveLength(1);
  expect(JSON.parse(String(received?.body))).toMatchObject({ sluiceroute: 'one', data: { n: 1 } });
  expect(await queued(sql, 'one')).toBe(0);
  const attempt = await ask<Record<string, unknown>>(
    sql,
    `select to_jsonb(iu_route_attempt) as answer from iu_route_attempt where route_code = 'one'`,
  );
  expect(attempt).toMatchObject({
    status: 'sent',
    delivered: true,
    detail: { body_sha256: sha256(received?.body ?? Buffer.alloc(0)) },
  });
  expect(await isBalanced(sql)).toBe(true);
});

test('five thousand are delivered, each once, and never more at once than the configuration allows', async () => {
  receiver = await startReceiver(() => delay(2).then(() => 200));
  await liveRoute(sql, 'many', receiver.url);
  await queueEvents(sql, 'many', 5_000);
  const result = await pump({ url: database.url, concurrency: 16 });
  expect(result).toMatchObject({ sent: 5_000, failed: 0, refused: 0, inFlight: 0, isDone: true });
  expect(receiver.keys().size).toBe(5_000);
  expect(receiver.ledger).toHaveLength(5_000);
  expect(receiver.mostOpen).toBeLessThanOrEqual(16);
  expect(receiver.mostOpen).toBeGreaterThan(8);
  expect(await attempts(sql, 'many')).toEqual({ sent: 5_000 });
  expect(await ask(sql, 'select count(*)::integer as answer from iu_route_lease')).toBe(0);
  expect(await isBalanced(sql)).toBe(true);
});

test('two workers at once deliver every key once', async () => {
  receiver = await startReceiver();
  await liveRoute(sql, 'two_workers', receiver.url);
  await queueEvents(sql, 'two_workers', 4_000);
  const url = database.url;
  const results = await Promise.all([pump({ url, worker: 'one' }), pump({ url, worker: 'another' })]);
  expect(results[0].sent + results[1].sent).toBe(4_000);
  expect(receiver.keys().size).toBe(4_000);
  expect(receiver.ledger).toHaveLength(4_000);
  expect(await attempts(sql, 'two_workers')).toEqual({ sent: 4_000 });
});

test('what failed is tried again with the same bytes, each try an attempt of its own', async () => {
  let tries = 0;
  receiver = await startReceiver(() => {
    tries += 1;
    return tries === 1 ? 503 : 200;
  });
  await liveRoute(sql, 'again', receiver.url, { retry: { schedule: ['0s', '0s'] } });
  await queueEvents(sql, 'again', 1);
  expect(await pump({ url: database.url, forMs: 1_000 })).toMatchObject({ sent: 1, failed: 1, retried: 1 });
  const [first, second] = receiver.ledger;
  expect(receiver.ledger).toHaveLength(2);
  expect(second?.body.equals(first?.body ?? Buffer.alloc(0))).toBe(true);
  expect(second?.key).toBe(first?.key);
  const { rows } = await sql.query(
    `select attempt_no, status, failure_code, detail ->> 'body_sha256' as sha256
     from iu_route_attempt where route_code = 'again' order by attempt_no`,
  );
  const hash = sha256(first?.body ?? Buffer.alloc(0));
  expect(rows).toEqual([
    { attempt_no: 1, status: 'failed', failure_code: 'http_503', sha256: hash },
    { attempt_no: 2, status: 'sent', failure_code: null, sha256: hash },
  ]);
});

test('bytes that were frozen are sent, whatever the request would make today', async () => {
  receiver = await startReceiver();
  await liveRoute(sql, 'frozen', receiver.url);
  await queueEvents(sql, 'frozen', 1);
  const bytes = Buffer.from('{"made": "by an earlier release"}');
  await sql.query(`update iu_route_delivery set body = $1, body_sha256 = $2 where route_code = 'frozen'`, [
    bytes,
    sha256(bytes),
  ]);
  await pump({ url: database.url });
  expect(String(receiver.ledger[0]?.body)).toBe(String(bytes));
});

test('the last try of the schedule makes a dead letter, and so does a refusal for good', async () => {
  receiver = await startReceiver(({ body }) => (JSON.parse(String(body)).data.n === 1 ? 422 : 500));
  await liveRoute(sql, 'dead', receiver.url, { retry: { schedule: ['0s', '0s', '0s'] } });
  await queueEvents(sql, 'dead', 2);
  expect(await pump({ url: database.url, forMs: 2_000 })).toMatchObject({
    sent: 0,
    retried: 2,
    deadLettered: 2,
    failed: 4,
  });
  const { rows } = await sql.query(
    `select failure_code, (last_attempt ->> 'attempt_no')::integer as attempt_no
     from iu_route_dead_letter where route_code = 'dead' order by failure_code`,
  );
  expect(rows).toEqual([
    { failure_code: 'http_422', attempt_no: 1 },
    { failure_code: 'http_500', attempt_no: 3 },
  ]);
  expect(await queued(sql, 'dead')).toBe(0);
});

test('a kind that is not built here stays queued, without an attempt', async () => {
  receiver = await startReceiver();
  await liveRoute(sql, 'unbuilt', receiver.url);
  await queueEvents(sql, 'unbuilt', 3);
  const { url } = database;
  expect(await pump({ url, registry: deliveryRegistry([]) })).toMatchObject({
    sent: 0,
    failed: 0,
    isDone: true,
  });
  expect(await queued(sql, 'unbuilt')).toBe(3);
  expect(await attempts(sql, 'unbuilt')).toEqual({});
  expect(await pump({ url })).toMatchObject({ sent: 3 });
});

test('a route that is switched to dry run begins nothing further; its deliveries stay queued', async () => {
  let gone = false;
  receiver = await startReceiver(async () => {
    if (!gone) {
      gone = true;
      await sql.query(`update iu_outbound_route set dry_run = true where route_code = 'to_dry_run'`);
    }
    return 200;
  });
  await liveRoute(sql, 'to_dry_run', receiver.url);
  await queueEvents(sql, 'to_dry_run', 200);
  const { sent } = await pump({ url: database.url, concurrency: 1, idleMs: 20 });
  expect(sent).toBeGreaterThan(0);
  expect(await queued(sql, 'to_dry_run')).toBe(200 - sent);
  expect(receiver.ledger).toHaveLength(sent);
});

test('what is queued for a route that was deleted becomes dead letters', async () => {
  receiver = await startReceiver();
  await liveRoute(sql, 'deleted', receiver.url);
  await queueEvents(sql, 'deleted', 1_500);
  await sql.query(`delete from iu_outbound_route where route_code = 'deleted'`);
  expect(await pump({ url: database.url })).toMatchObject({ sent: 0, isDone: true });
  expect(await queued(sql, 'deleted')).toBe(0);
  const letters = `select count(*)::integer as answer from iu_route_dead_letter where failure_code = 'route_removed'`;
  expect(await ask(sql, letters)).toBe(1_500);
  expect(receiver.ledger).toHaveLength(0);
});

test('a target that is gone for good switches its route off, and the rest stays queued', async () => {
  receiver = await startReceiver(() => 410);
  await liveRoute(sql, 'gone', receiver.url);
  await queueEvents(sql, 'gone', 50);
  const delivery = { ...LOCAL_DELIVERY, concurrency: 2 };
  const { deadLettered } = await pump({ url: database.url, delivery });
  expect(deadLettered).toBeGreaterThan(0);
  expect(deadLettered).toBeLessThan(50);
  expect(await queued(sql, 'gone')).toBe(50 - deadLettered);
  expect(await ask(sql, `select enabled as answer from iu_outbound_route where route_code = 'gone'`)).toBe(
    false,
  );
});

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
