import type pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { queueEvents } from '../delivery-activity/support/deliveries.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { deliveryFailures, deliveryVerdict } from './support/delivery-verdict.ts';
import { attemptsOf, deliverNow, endLeases, makeDue, openDatabase, signedRoute } from './support/faulty.ts';
import { type Ledger, startLedger, turnstile } from './support/ledger.ts';
import { type PumpProcess, SIGNED_DELIVERY, startPump } from './support/pump-process.ts';
import { alterFunction, WITHOUT_FENCE } from './support/wrong-delivery.ts';

vi.setConfig({ testTimeout: 120_000 });

/** Fewer than open a breaker. */
const EVENTS = 8;
/** Nobody loses a lease by the slowness of the machine. */
const LEASE_MS = 600_000;

let database: TestDatabase;
let sql: pg.Client;
let ledger: Ledger;
let lost: PumpProcess;
beforeEach(async () => {
  [{ database, sql }, ledger, lost] = await Promise.all([openDatabase(), startLedger(), startPump()]);
});
afterEach(async () => {
  lost.signal('SIGKILL');
  await lost.ended.catch(() => undefined);
  await ledger.close();
  await database.drop();
});

/** Has `EVENTS` requests of another process under way, which the receiver acts on and keeps unanswered. */
async function underWay(config: Readonly<Record<string, unknown>> = {}) {
  const gate = turnstile();
  ledger.answer('out', gate.answer);
  await signedRoute(sql, 'out', ledger, { timeout_ms: 60_000, ...config });
  await queueEvents(sql, 'out', EVENTS);
  const delivery = { ...SIGNED_DELIVERY, leaseMs: LEASE_MS };
  lost.deliver({ url: database.url, delivery, worker: 'the lost one', forMs: 0 });
  await ledger.until(EVENTS);
  return gate;
}

test('a worker killed after the target did the work: the next one delivers the same bytes under the same key', async () => {
  await underWay();
  lost.signal('SIGKILL');
  expect(await lost.ended).toBeNull();
  ledger.answer('out', () => 200);

  expect(await deliverNow(database.url)).toMatchObject({ sent: 0, failed: 0 });
  expect(ledger.entries).toHaveLength(EVENTS);

  await endLeases(sql);
  expect(await deliverNow(database.url)).toMatchObject({ sent: EVENTS, failed: 0, refused: 0 });
  expect(ledger.entries).toHaveLength(2 * EVENTS);
  expect(await attemptsOf(sql, 'out')).toEqual({ '#1 sent': EVENTS });
  const verdict = await deliveryVerdict(sql, [ledger]);
  expect(deliveryFailures(verdict)).toEqual([]);
  expect(verdict).toMatchObject({ sent: EVENTS, unrecorded: EVENTS });
});

test('a worker stopped beyond its lease and continued: what it has to tell is refused, whatever it is', async () => {
  const gate = await underWay();
  lost.signal('SIGSTOP');
  gate.open(200);
  ledger.answer('out', () => 200);
  await endLeases(sql);
  expect(await deliverNow(database.url)).toMatchObject({ sent: EVENTS, refused: 0 });

  lost.signal('SIGCONT');
  expect((await lost.ended)?.counts).toMatchObject({ sent: 0, failed: 0, refused: EVENTS });
  expect(await attemptsOf(sql, 'out')).toEqual({ '#1 sent': EVENTS });
  const verdict = await deliveryVerdict(sql, [ledger]);
  expect(deliveryFailures(verdict)).toEqual([]);
  expect(verdict).toMatchObject({ sent: EVENTS, unrecorded: EVENTS });
});

/** A zombie hears a refusal for good of deliveries that another worker is about to try again. */
async function zombieHearsNo(): Promise<void> {
  const gate = await underWay({ retry: { schedule: ['0s', '720h'] } });
  lost.signal('SIGSTOP');
  gate.open(400);
  ledger.answer('out', () => 503);
  await endLeases(sql);
  expect(await deliverNow(database.url)).toMatchObject({ sent: 0, retried: EVENTS });
  lost.signal('SIGCONT');
  await lost.ended;
  ledger.answer('out', () => 200);
  await makeDue(sql, 'out');
  await deliverNow(database.url);
}

test('a worker that comes back with a refusal cannot end what another one tries again', async () => {
  await zombieHearsNo();
  expect((await lost.ended)?.counts).toMatchObject({ deadLettered: 0, refused: EVENTS });
  expect(await attemptsOf(sql, 'out')).toEqual({ '#1 failed http_503': EVENTS, '#2 sent': EVENTS });
  expect(deliveryFailures(await deliveryVerdict(sql, [ledger]))).toEqual([]);
});

test('without the fence of the lease it can', async () => {
  await alterFunction(sql, WITHOUT_FENCE);
  await zombieHearsNo();
  expect((await lost.ended)?.counts).toMatchObject({ deadLettered: EVENTS, refused: 0 });
  expect(await attemptsOf(sql, 'out')).toEqual({
    '#1 failed http_503': EVENTS,
    '#2 failed http_400': EVENTS,
  });
  expect(await deliveryVerdict(sql, [ledger])).toMatchObject({ sent: 0, dead: EVENTS });
});
