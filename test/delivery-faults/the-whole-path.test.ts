import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { DeliverResult } from '../../contracts/deliver.ts';
import { queueEvents } from '../delivery-activity/support/deliveries.ts';
import { type ChildWorker, startChildWorker } from '../support/child-worker.ts';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { deliveryFailures, deliveryVerdict } from './support/delivery-verdict.ts';
import { openDatabase, signedRoute } from './support/faulty.ts';
import { type Ledger, startLedger, turnstile } from './support/ledger.ts';
import { SIGNED_DELIVERY, SIGNED_ENV } from './support/pump-process.ts';

const EVENTS = 400;
const AT_ONCE = 16;

let engine: TestEngine;
let ledger: Ledger;
const workers: ChildWorker[] = [];
beforeAll(async () => {
  for (const [name, value] of Object.entries(SIGNED_ENV)) vi.stubEnv(name, value);
  const { database } = await openDatabase();
  [engine, ledger] = await Promise.all([testEngine({ database, worker: false }), startLedger()]);
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await ledger.close();
  await engine.close();
});

async function work(): Promise<ChildWorker> {
  const delivery = { ...SIGNED_DELIVERY, concurrency: AT_ONCE, leaseMs: 1_000 };
  const worker = await startChildWorker({ ...engine, access: { ...engine.access, delivery } });
  workers.push(worker);
  return worker;
}

test('a worker killed in the middle of its slice: the workflow goes on with another one, and nothing is lost', {
  timeout: 120_000,
}, async () => {
  const gate = turnstile();
  ledger.answer('out', ({ entry, ...exchange }) =>
    ledger.entries.indexOf(entry) < EVENTS / 4 ? 200 : gate.answer({ entry, ...exchange }),
  );
  await signedRoute(engine.sql, 'out', ledger, { timeout_ms: 3_000 });
  await queueEvents(engine.sql, 'out', EVENTS);
  const first = await work();
  const handle = await engine.client.workflow.start('deliver', {
    workflowId: `deliver/${engine.target}`,
    taskQueue: engine.taskQueue,
    args: [{ target: engine.target, forMs: 6_000, idleMs: 50 }],
  });
  await ledger.until(EVENTS / 4 + AT_ONCE);
  first.signal('SIGKILL');
  await first.ended;
  ledger.answer('out', () => 200);
  await work();
  const result = (await handle.result()) as DeliverResult;
  expect(result).toMatchObject({ failed: 0, refused: 0, inFlight: 0, status: 'open' });
  const verdict = await deliveryVerdict(engine.sql, [ledger]);
  expect(deliveryFailures(verdict)).toEqual([]);
  expect(verdict).toMatchObject({ events: EVENTS, sent: EVENTS });
  expect(verdict.unrecorded).toBeGreaterThanOrEqual(AT_ONCE);
  expect(ledger.entries).toHaveLength(EVENTS + verdict.unrecorded);
});
