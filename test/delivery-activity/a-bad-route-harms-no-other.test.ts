import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { failed, sent } from '../../delivery/delivery-outcome.ts';
import { deliveryRegistry } from '../../delivery/delivery-registry.ts';
import type { DeliveryTarget } from '../../delivery/delivery-target.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
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
import { type Receiver, startReceiver } from './support/receiver.ts';

vi.setConfig({ testTimeout: 180_000 });

let database: TestDatabase;
let sql: pg.Client;
const receivers: Receiver[] = [];
beforeAll(async () => {
  database = await delivering(18);
  sql = await database.connect();
  await openDeliveries(sql);
});
afterEach(async () => {
  await sql.query('update iu_outbound_route set dry_run = true where not dry_run');
  await Promise.all(receivers.splice(0).map((receiver) => receiver.close()));
});
afterAll(() => database.drop());

async function receive(answer?: Receiver['answer']): Promise<Receiver> {
  const receiver = await startReceiver(answer);
  receivers.push(receiver);
  return receiver;
}

/** A target of the test's own. */
const target = (
  deliver: DeliveryTarget['deliver'],
  body?: NonNullable<DeliveryTarget['body']>,
): DeliveryTarget => ({
  kind: 'external_endpoint',
  isBuilt: true,
  fault: () => null,
  deliver,
  ...(body === undefined ? {} : { body }),
});
const lastFailure = (route: string) =>
  ask<{ code: string; message: string; detail: unknown }>(
    sql,
    `select jsonb_build_object('code', failure_code, 'message', detail ->> 'message', 'detail', detail) as answer
     from iu_route_attempt where route_code = $1 and status = 'failed' order by attempt_no desc limit 1`,
    [route],
  );

test('an endpoint that never answers delays no other route', async () => {
  const [dead, healthy] = [await receive(() => null), await receive()];
  await liveRoute(sql, 'silent', dead.url, { timeout_ms: 60_000 });
  await liveRoute(sql, 'healthy', healthy.url);
  await queueEvents(sql, 'silent', 3_000);
  await queueEvents(sql, 'healthy', 3_000);
  const abort = new AbortController();
  const pumping = pump({ url: database.url, concurrency: 8, signal: abort.signal, idleMs: 50 });
  const startedAt = performance.now();
  while ((await queued(sql, 'healthy')) > 0) expect(performance.now() - startedAt).toBeLessThan(50_000);
  expect(dead.open).toBe(8);
  expect(dead.ledger).toHaveLength(8);
  abort.abort();
  expect(await pumping).toMatchObject({ sent: 3_000, retried: 8 });
  expect(await attempts(sql, 'healthy')).toEqual({ sent: 3_000 });
});

test('an endpoint that refuses everything opens its breaker after a few tries, which uses up no others', async () => {
  let isDead = true;
  const receiver = await receive(() => (isDead ? 500 : 200));
  await liveRoute(sql, 'refusing', receiver.url);
  await queueEvents(sql, 'refusing', 1_000);
  const { url } = database;
  const first = await pump({ url, concurrency: 8 });
  expect(first).toMatchObject({ sent: 0, isDone: true });
  expect(first.retried).toBeGreaterThanOrEqual(10);
  expect(first.retried).toBeLessThan(60);
  expect(await ask(sql, `select state as answer from iu_route_breaker where route_code = 'refusing'`)).toBe(
    'open',
  );
  expect(await pump({ url })).toMatchObject({ sent: 0, failed: 0 });
  const letProbe = `update iu_route_breaker set probe_at = clock_timestamp() where route_code = 'refusing'`;
  await sql.query(letProbe);
  expect(await pump({ url })).toMatchObject({ sent: 0, failed: 1 });
  isDead = false;
  await sql.query(letProbe);
  const before = receiver.ledger.length;
  const cured = await pump({ url, concurrency: 8, forMs: 6_000 });
  expect(cured).toMatchObject({ sent: 1_000, failed: 0 });
  expect(receiver.ledger.length - before).toBe(1_000);
  expect(await isBalanced(sql)).toBe(true);
});

test('a target that raises is a failure that tells no more than its name, and is tried again', async () => {
  await liveRoute(sql, 'raising', 'https://iu.example/');
  await queueEvents(sql, 'raising', 1);
  const deliver = async () => {
    throw new TypeError('Bearer secret-canary');
  };
  const { url } = database;
  expect(await pump({ url, registry: deliveryRegistry([target(deliver)]) })).toMatchObject({ retried: 1 });
  expect(await lastFailure('raising')).toMatchObject({
    code: 'target_raised',
    message: 'The target raised TypeError.',
  });
  expect(JSON.stringify(await lastFailure('raising'))).not.toContain('secret-canary');
});

test('a target that answers no valid outcome has failed', async () => {
  await liveRoute(sql, 'lying', 'https://iu.example/');
  await queueEvents(sql, 'lying', 1);
  const deliver = async () => ({ ...sent('external_endpoint'), status: 'skipped' as const });
  const { url } = database;
  expect(await pump({ url, registry: deliveryRegistry([target(deliver)]) })).toMatchObject({
    retried: 1,
    sent: 0,
  });
  expect((await lastFailure('lying')).code).toBe('target_raised');
});

test('a request that no body can be made of is a dead letter at once, and the others are sent', async () => {
  const receiver = await receive();
  await liveRoute(sql, 'unsendable', receiver.url);
  await queueEvents(sql, 'unsendable', 3);
  await sql.query(
    `update iu_route_delivery set request = jsonb_set(request, '{idempotency_key}', '""')
     where event_id = (select event_id from iu_route_delivery where route_code = 'unsendable' limit 1)`,
  );
  expect(await pump({ url: database.url })).toMatchObject({ sent: 2, deadLettered: 1 });
  const code = `select failure_code as answer from iu_route_dead_letter where route_code = 'unsendable'`;
  expect(await ask(sql, code)).toBe('request_invalid');
});

test('words that the database cannot store are stored as far as they can be, and keep no outcome back', async () => {
  await liveRoute(sql, 'strange', 'https://iu.example/');
  await queueEvents(sql, 'strange', 40);
  const deliver: DeliveryTarget['deliver'] = async ({ safePayload }) => {
    const { n } = JSON.parse(safePayload) as { n: number };
    const words = { nul: 'a\0b', half: '\ud83d', slash: '\\u0000', long: n === 3 ? 'x'.repeat(100_000) : '' };
    return n % 2 === 0
      ? sent('external_endpoint', words)
      : failed(
          'external_endpoint',
          { code: 'http_400', message: 'no\0 \udc00', mayRetry: false, retryAfterMs: null },
          words,
        );
  };
  const { url } = database;
  expect(await pump({ url, registry: deliveryRegistry([target(deliver)]) })).toMatchObject({
    sent: 20,
    deadLettered: 20,
    refused: 0,
  });
  const stored = await lastFailure('strange');
  expect(stored.message).toBe('no\ufffd \ufffd');
  const details = await sql.query<{ detail: { slash?: string; left_out?: string } }>(
    `select detail from iu_route_attempt where route_code = 'strange'`,
  );
  expect(details.rows.filter(({ detail }) => detail.slash === '\\u0000')).toHaveLength(39);
  expect(details.rows.filter(({ detail }) => detail.left_out?.includes('characters'))).toHaveLength(1);
});

test('an outcome that breaks a constraint of the audit is recorded without its words, and keeps no other back', async () => {
  await liveRoute(sql, 'constrained', 'https://iu.example/');
  await queueEvents(sql, 'constrained', 20);
  await sql.query(
    `alter table iu_route_attempt add constraint a_test_refuses_a_word check (not detail ? 'forbidden') not valid`,
  );
  const deliver: DeliveryTarget['deliver'] = async ({ safePayload }) =>
    sent('external_endpoint', JSON.parse(safePayload).n === 7 ? { forbidden: true } : { allowed: true });
  const { url } = database;
  expect(await pump({ url, registry: deliveryRegistry([target(deliver)]) })).toMatchObject({ sent: 20 });
  await sql.query('alter table iu_route_attempt drop constraint a_test_refuses_a_word');
  const allowed = `select count(*)::integer as answer from iu_route_attempt where detail ? 'allowed'`;
  expect(await ask(sql, allowed)).toBe(19);
});

test('a target that neither ends in time nor when it is aborted is given up, and its slot is free again', async () => {
  await liveRoute(sql, 'deaf', 'https://iu.example/', { timeout_ms: 100 });
  await queueEvents(sql, 'deaf', 3);
  let deaf = 1;
  const deliver = async () => {
    deaf -= 1;
    if (deaf === 0) return new Promise<never>(() => undefined);
    return sent('external_endpoint');
  };
  const { url } = database;
  const registry = deliveryRegistry([target(deliver)]);
  expect(await pump({ url, registry, concurrency: 1 })).toMatchObject({ sent: 2, retried: 1, inFlight: 0 });
  expect((await lastFailure('deaf')).code).toBeDefined();
  const timedOut = `select count(*)::integer as answer from iu_route_attempt where failure_code = 'timeout'`;
  expect(await ask(sql, timedOut)).toBe(1);
});

test('forty routes share what may be in flight, and every one of them moves on', async () => {
  const receiver = await receive(async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return 200;
  });
  for (let n = 0; n < 40; n += 1) {
    await liveRoute(sql, `shared_${n}`, receiver.url);
    await queueEvents(sql, `shared_${n}`, 40);
  }
  expect(await pump({ url: database.url, concurrency: 256 })).toMatchObject({ sent: 1_600, failed: 0 });
  expect(receiver.mostOpen).toBeLessThanOrEqual(512);
});
