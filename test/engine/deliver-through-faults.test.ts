import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { DeliverInput, DeliverResult } from '../../contracts/deliver.ts';
import type { WorkerRole } from '../../contracts/names.ts';
import { findLocalPostgres } from '../../local/find-postgres.ts';
import { stopCluster } from '../../local/start-cluster.ts';
import { startWorker } from '../../worker.ts';
import {
  attempts,
  isBalanced,
  LOCAL_DELIVERY,
  liveRoute,
  openDeliveries,
  pump,
  queued,
  queueEvents,
} from '../delivery-activity/support/deliveries.ts';
import { delivering, installDelivering } from '../delivery-activity/support/delivering.ts';
import { gateAnswer, type Receiver, startReceiver } from '../delivery-activity/support/receiver.ts';
import { startChildWorker } from '../support/child-worker.ts';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { startOwnCluster } from '../support/own-cluster.ts';
import { ownTaskQueue } from '../support/temporal-address.ts';
import { waitFor } from '../support/wait-for.ts';
import { workflowBundle } from '../support/workflow-bundle.ts';

vi.setConfig({ testTimeout: 300_000 });

/** Short leases, so that what a lost worker held comes back soon. */
const DELIVERY = { ...LOCAL_DELIVERY, concurrency: 4, leaseMs: 2_000 };

let engine: TestEngine;
let receiver: Receiver;
beforeAll(async () => {
  engine = await testEngine({ database: await delivering(15), worker: false, delivery: DELIVERY });
  await openDeliveries(engine.sql);
});
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(async () => {
  await engine.sql.query('update iu_outbound_route set dry_run = true where not dry_run');
  await receiver.close();
});
afterAll(() => engine.close());

function deliver(taskQueue: string, input: Partial<DeliverInput> = {}) {
  return engine.client.workflow.start<(input: DeliverInput) => Promise<DeliverResult>>('deliver', {
    workflowId: `deliver/${engine.target}/${randomUUID()}`,
    taskQueue,
    args: [{ target: engine.target, forMs: 0, idleMs: 50, ...input }],
  });
}

const allOnce = () => [...receiver.keys().values()].every((times) => times === 1);

test('a worker that stood still for longer than its leases cannot settle what another one has delivered meanwhile', async () => {
  const gate = gateAnswer();
  receiver.answer = gate.answer;
  await liveRoute(engine.sql, 'zombie', receiver.url, {
    timeout_ms: 1_000,
    retry: { schedule: ['0s', '1s'] },
  });
  await queueEvents(engine.sql, 'zombie', 4);
  const taskQueue = ownTaskQueue();
  const { address, access } = engine;
  const zombie = await startChildWorker({ address, taskQueue, access });
  const handle = await deliver(taskQueue);
  await waitFor(async () => receiver.open === 4);
  zombie.signal('SIGSTOP');
  // What it asked for is answered, and it does not hear it.
  gate.open();
  await waitFor(async () => {
    const over = 'select count(*) as held from iu_route_lease where leased_until > clock_timestamp()';
    return (await engine.sql.query<{ held: string }>(over)).rows[0]?.held === '0';
  });
  expect(await pump({ url: engine.database.url, delivery: DELIVERY })).toMatchObject({ sent: 4 });
  zombie.signal('SIGCONT');
  await handle.result();
  await zombie.stop();
  expect(await attempts(engine.sql, 'zombie')).toEqual({ sent: 4 });
  expect([...receiver.keys().values()]).toEqual([2, 2, 2, 2]);
  expect(await isBalanced(engine.sql)).toBe(true);
});

test('a worker that is asked to end settles what is in flight, and gives the rest back', async () => {
  receiver.answer = () => delay(30).then(() => 200);
  await liveRoute(engine.sql, 'ending', receiver.url);
  await queueEvents(engine.sql, 'ending', 1_000);
  const taskQueue = ownTaskQueue();
  const { address, access } = engine;
  const worker = await startChildWorker({ address, taskQueue, access });
  const handle = await deliver(taskQueue);
  await waitFor(async () => receiver.ledger.length > 50);
  await worker.stop();
  const sent = receiver.ledger.length;
  expect(sent).toBeLessThan(1_000);
  expect(await attempts(engine.sql, 'ending')).toEqual({ sent });
  expect((await engine.sql.query('select from iu_route_lease')).rowCount).toBe(0);
  const next = await startChildWorker({ address, taskQueue, access });
  expect(await handle.result()).toMatchObject({ sent: 1_000 });
  await next.stop();
  expect(allOnce()).toBe(true);
});

test('macros and deliveries run in processes of their own, where somebody wants that', async () => {
  await liveRoute(engine.sql, 'apart', receiver.url);
  await queueEvents(engine.sql, 'apart', 5);
  const taskQueue = ownTaskQueue();
  const { codePath: bundlePath } = await workflowBundle();
  const start = (only: WorkerRole) =>
    startWorker({
      endpoint: { connectionOptions: { address: engine.address }, namespace: 'default' },
      taskQueue,
      bundlePath,
      only,
      openTarget: async () => engine.access,
    });
  const macros = await start('macro');
  const handle = await deliver(taskQueue);
  await waitFor(async () => (await handle.describe()).raw.pendingActivities?.length === 1);
  expect(await queued(engine.sql, 'apart')).toBe(5);
  const deliveries = await start('delivery');
  expect(await handle.result()).toMatchObject({ sent: 5 });
  await Promise.all([macros.stop(), deliveries.stop()]);
});

test('a PostgreSQL that is restarted in the middle loses nothing and sends nothing twice', {
  skip: (await findLocalPostgres()).found.length === 0,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-deliver-'));
  chmodSync(dir, 0o755);
  const password = randomUUID();
  const first = await startOwnCluster({ dir, password });
  const connect = async () => {
    const client = new pg.Client({ connectionString: first.adminUrl });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const before = await connect();
  await installDelivering(before);
  await openDeliveries(before);
  await liveRoute(before, 'restarted', receiver.url);
  await queueEvents(before, 'restarted', 2_000);
  await before.end();
  receiver.answer = () => delay(5).then(() => 200);
  const pumping = pump({ url: first.adminUrl, concurrency: 4 });
  await waitFor(async () => receiver.ledger.length > 300);
  await stopCluster(first.process);
  const again = await startOwnCluster({ dir, password, wantedPort: Number(new URL(first.adminUrl).port) });
  expect(await pumping).toMatchObject({ failed: 0, inFlight: 0, isDone: true });
  const after = await connect();
  expect(await attempts(after, 'restarted')).toEqual({ sent: 2_000 });
  expect(await isBalanced(after)).toBe(true);
  await after.end();
  await stopCluster(again.process);
  rmSync(dir, { recursive: true, force: true });
  expect(receiver.keys().size).toBe(2_000);
  expect(allOnce()).toBe(true);
});
