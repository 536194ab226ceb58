import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
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
let other: pg.Client;
let receiver: Receiver;
beforeAll(async () => {
  database = await delivering(15);
  sql = await database.connect();
  other = await database.connect();
});
beforeEach(() => openDeliveries(sql));
afterEach(async () => {
  await sql.query('update iu_outbound_route set dry_run = true where not dry_run');
  await receiver.close();
});
afterAll(() => database.drop());

const close = (key: string) =>
  other.query(`select fn_iu_gate_close($1, 'ana', 'a test')`, [`iu_core.${key}_enabled`]);
const wait = (key: string) => other.query('select fn_iu_gate_wait($1)', [`iu_core.${key}_enabled`]);

test('closing the gate returns only after what was in flight has ended, and nothing begins afterwards', async () => {
  const gate = gateAnswer();
  receiver = await startReceiver(gate.answer);
  await liveRoute(sql, 'closing', receiver.url);
  await queueEvents(sql, 'closing', 100);
  const abort = new AbortController();
  const { signal } = abort;
  const pumping = pump({ url: database.url, concurrency: 4, forMs: 600_000, idleMs: 100, signal });
  await waitFor(async () => receiver.open === 4);
  await close('delivery');
  let isClosed = false;
  const closed = wait('delivery').then(() => {
    isClosed = true;
  });
  await waitFor(() =>
    ask<boolean>(
      sql,
      `select exists (select from pg_locks where locktype = 'advisory' and not granted) as answer`,
    ),
  );
  expect(isClosed).toBe(false);
  gate.open();
  await closed;
  // What was claimed may still have been begun until the next look; all of it has ended and is settled.
  const sent = receiver.ledger.length;
  expect(receiver.open).toBe(0);
  expect(sent).toBeLessThan(100);
  expect(await attempts(sql, 'closing')).toEqual({ sent });
  expect(await queued(sql, 'closing')).toBe(100 - sent);
  expect(await ask(sql, 'select count(*)::integer as answer from iu_route_lease')).toBe(0);
  expect(await pump({ url: database.url })).toMatchObject({
    sent: 0,
    status: 'delivery_gate_closed',
    isDone: true,
  });
  expect(receiver.ledger).toHaveLength(sent);
  await openDeliveries(sql);
  await waitFor(async () => (await queued(sql, 'closing')) === 0, 60_000);
  expect(receiver.ledger).toHaveLength(100);
  abort.abort();
  expect(await pumping).toMatchObject({ sent: 100, status: 'open' });
  expect(await isBalanced(sql)).toBe(true);
});

test('a request that outlasts the closing of the gate is ended, and tried again once it is open', async () => {
  const gate = gateAnswer();
  receiver = await startReceiver(gate.answer);
  await liveRoute(sql, 'outlasting', receiver.url, { retry: { schedule: ['0s', '0s'] } });
  await queueEvents(sql, 'outlasting', 1);
  const pumping = pump({ url: database.url, idleMs: 100 });
  await waitFor(async () => receiver.open === 1);
  await close('delivery');
  await wait('delivery');
  expect(await attempts(sql, 'outlasting')).toEqual({ failed: 1 });
  const code = `select failure_code as answer from iu_route_attempt where route_code = 'outlasting'`;
  expect(await ask(sql, code)).toBe('connection_cut');
  expect(await pumping).toMatchObject({ retried: 1, status: 'delivery_gate_closed' });
  gate.open();
  await openDeliveries(sql);
  expect(await pump({ url: database.url })).toMatchObject({ sent: 1 });
  expect(receiver.keys().size).toBe(1);
});

test('while the master gate or the worker gate is closed nothing is delivered', async () => {
  receiver = await startReceiver();
  await liveRoute(sql, 'other_gates', receiver.url);
  await queueEvents(sql, 'other_gates', 1);
  for (const [gate, status] of [
    ['outbound', 'master_gate_closed'],
    ['route_worker', 'worker_gate_closed'],
  ] as const) {
    await close(gate);
    expect(await pump({ url: database.url })).toMatchObject({ sent: 0, status });
    await sql.query(`update dot_config set value = 'true' where key = $1`, [`iu_core.${gate}_enabled`]);
  }
  expect(receiver.ledger).toHaveLength(0);
  expect(await pump({ url: database.url })).toMatchObject({ sent: 1 });
});

test('cancelled, it begins nothing further, settles what is in flight, and gives the rest back at once', async () => {
  const gate = gateAnswer();
  receiver = await startReceiver(gate.answer);
  await liveRoute(sql, 'cancelled', receiver.url);
  await queueEvents(sql, 'cancelled', 100);
  const abort = new AbortController();
  const pumping = pump({ url: database.url, concurrency: 4, signal: abort.signal });
  await waitFor(async () => receiver.open === 4);
  abort.abort();
  gate.open();
  expect(await pumping).toMatchObject({ sent: 4, failed: 0, inFlight: 0, isDone: false });
  expect(receiver.ledger).toHaveLength(4);
  expect(await queued(sql, 'cancelled')).toBe(96);
  expect(await pump({ url: database.url })).toMatchObject({ sent: 96, refused: 0 });
  expect([...receiver.keys().values()].every((times) => times === 1)).toBe(true);
});

test('cancelled, it waits ten seconds for a request and then ends it; the last try of a delivery is not used up', async () => {
  receiver = await startReceiver(() => null);
  await liveRoute(sql, 'hanging', receiver.url, { retry: { schedule: ['0s'] }, timeout_ms: 60_000 });
  await queueEvents(sql, 'hanging', 1);
  const abort = new AbortController();
  const pumping = pump({ url: database.url, signal: abort.signal });
  await waitFor(async () => receiver.open === 1);
  const cancelledAt = performance.now();
  abort.abort();
  expect(await pumping).toMatchObject({ sent: 0, retried: 1, deadLettered: 0, inFlight: 0, isDone: false });
  expect(performance.now() - cancelledAt).toBeGreaterThan(9_900);
  expect(await queued(sql, 'hanging')).toBe(1);
});

test('a slice ends without cutting what is in flight, and says that there is more', async () => {
  const gate = gateAnswer();
  receiver = await startReceiver(gate.answer);
  await liveRoute(sql, 'sliced', receiver.url);
  await queueEvents(sql, 'sliced', 100);
  let seen = 0;
  const pumping = pump({
    url: database.url,
    concurrency: 4,
    sliceMs: 500,
    forMs: 60_000,
    report: ({ seconds }) => {
      seen = seconds;
    },
  });
  await waitFor(async () => seen > 1);
  expect(receiver.open).toBe(4);
  gate.open();
  expect(await pumping).toMatchObject({ sent: 4, failed: 0, isDone: false });
  await pump({ url: database.url });
  expect(await attempts(sql, 'sliced')).toEqual({ sent: 100 });
});
