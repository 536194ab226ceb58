import { randomUUID } from 'node:crypto';
import protos, { type temporal as proto } from '@temporalio/proto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { applySchedule } from '../../client/apply-schedule.ts';
import { readSchedule } from '../../client/read-schedule.ts';
import { deleteSchedule } from '../../client/steer-schedule.ts';
import type { DeliverInput, DeliverResult } from '../../contracts/deliver.ts';
import { deliveryTaskQueue } from '../../contracts/names.ts';
import {
  attempts,
  isBalanced,
  LOCAL_DELIVERY,
  liveRoute,
  openDeliveries,
  queued,
  queueEvents,
} from '../delivery-activity/support/deliveries.ts';
import { delivering } from '../delivery-activity/support/delivering.ts';
import { gateAnswer, type Receiver, startReceiver } from '../delivery-activity/support/receiver.ts';
import { startChildWorker } from '../support/child-worker.ts';
import { noBackup, observe, type TestEngine, testEngine } from '../support/engine.ts';
import { untilStatus } from '../support/engine-facts.ts';
import { ownTaskQueue } from '../support/temporal-address.ts';
import { waitFor } from '../support/wait-for.ts';

vi.setConfig({ testTimeout: 300_000 });

let engine: TestEngine;
let receiver: Receiver;
beforeAll(async () => {
  engine = await testEngine({ database: await delivering(15), delivery: LOCAL_DELIVERY });
  await openDeliveries(engine.sql);
});
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(async () => {
  await engine.abandon();
  await engine.sql.query('update iu_outbound_route set dry_run = true where not dry_run');
  await receiver.close();
});
afterAll(() => engine.close());

function deliver(input: Partial<DeliverInput> = {}, taskQueue = engine.taskQueue) {
  return engine.client.workflow.start<(input: DeliverInput) => Promise<DeliverResult>>('deliver', {
    workflowId: `deliver/${engine.target}/${randomUUID()}`,
    taskQueue,
    args: [{ target: engine.target, forMs: 0, idleMs: 50, ...input }],
  });
}
type Handle = Awaited<ReturnType<typeof deliver>>;

const eventTypes = async (handle: Handle) => {
  const run = engine.client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId);
  return ((await run.fetchHistory()).events ?? []).map(({ eventType }) => Number(eventType));
};
const CONTINUED_AS_NEW = 28;

/** State of the activity that is pending; undefined where none is. */
const stateOf = async (handle: Handle) => (await handle.describe()).raw.pendingActivities?.[0]?.state;
const { PENDING_ACTIVITY_STATE_SCHEDULED: SCHEDULED, PENDING_ACTIVITY_STATE_STARTED: STARTED } =
  protos.temporal.api.enums.v1.PendingActivityState;
const { PENDING_ACTIVITY_STATE_CANCEL_REQUESTED: CANCEL_REQUESTED } =
  protos.temporal.api.enums.v1.PendingActivityState;

test('three thousand deliveries leave as much history as three', async () => {
  await liveRoute(engine.sql, 'history', receiver.url);
  await queueEvents(engine.sql, 'history', 3);
  const few = await deliver();
  expect(await few.result()).toMatchObject({ sent: 3, failed: 0, inFlight: 0, status: 'open' });
  await queueEvents(engine.sql, 'history', 3_000);
  const many = await deliver();
  expect(await many.result()).toMatchObject({ sent: 3_000, failed: 0, refused: 0 });
  expect(await eventTypes(many)).toEqual(await eventTypes(few));
  expect(receiver.keys().size).toBe(3_003);
  expect(await attempts(engine.sql, 'history')).toEqual({ sent: 3_003 });
  expect(await isBalanced(engine.sql)).toBe(true);
});

test('it works in slices, continues as new, and counts the whole chain', async () => {
  await liveRoute(engine.sql, 'chain', receiver.url);
  await queueEvents(engine.sql, 'chain', 100);
  const handle = await deliver({ forMs: 600, sliceMs: 100, slicesPerRun: 2 });
  expect(await handle.result()).toMatchObject({ sent: 100, status: 'open' });
  const first = await eventTypes(handle);
  expect(first.at(-1)).toBe(CONTINUED_AS_NEW);
  const last = await engine.client.workflow.getHandle(handle.workflowId).describe();
  expect(last.runId).not.toBe(handle.firstExecutionRunId);
});

test('cancelled, it settles what is in flight, and its counts are told', async () => {
  const gate = gateAnswer();
  receiver.answer = gate.answer;
  await liveRoute(engine.sql, 'cancelled', receiver.url);
  await queueEvents(engine.sql, 'cancelled', 100);
  const handle = await deliver({ forMs: 3_600_000 });
  await waitFor(async () => receiver.open === 32);
  await handle.cancel();
  await waitFor(async () => (await stateOf(handle)) === CANCEL_REQUESTED);
  // From its next heartbeat on, the activity knows; what is answered before then makes room for further ones.
  gate.open();
  await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  const { sent } = await handle.query<DeliverResult>('status');
  expect(await attempts(engine.sql, 'cancelled')).toEqual({ sent });
  expect(receiver.ledger).toHaveLength(sent);
  expect(await queued(engine.sql, 'cancelled')).toBe(100 - sent);
  const metadata = await handle.query<proto.api.sdk.v1.IWorkflowMetadata>('__temporal_workflow_metadata');
  expect(metadata.currentDetails).toMatch(/\*\*cancelled\*\*/);
});

test('beside an observe window it ends with the window', async () => {
  await liveRoute(engine.sql, 'beside', receiver.url);
  await queueEvents(engine.sql, 'beside', 20);
  const metric = {
    name: 'queued',
    unit: 'deliveries',
    script: engine.script(`select count(*) as value from iu_route_delivery where route_code = 'beside'`),
    pass: { max: 0 },
    fail: { max: 1_000 },
    consecutiveSuccess: 1,
    failureLimit: 0,
  };
  const watch = observe('watch', [metric], { windowMs: 4_000 }) as ReturnType<typeof observe> & {
    kind: 'observe';
  };
  const input = { forMs: 3_600_000, idleMs: 50 };
  const planHash = await engine.plan([noBackup(), { ...watch, alongside: { workflow: 'deliver', input } }]);
  const handle = await engine.start(planHash);
  const { runNo } = await untilStatus(handle, ({ steps }) => steps.some(({ state }) => state === 'running'));
  const { outcome, cause } = await engine.outcome(handle);
  expect([outcome, cause]).toEqual(['succeeded', '']);
  const beside = engine.client.workflow.getHandle(`macro/${engine.target}/${runNo}/watch`);
  expect((await beside.describe()).status.name).toBe('CANCELLED');
  expect(await attempts(engine.sql, 'beside')).toEqual({ sent: 20 });
});

test('a flood of deliveries to a slow endpoint takes no slot of a macro', async () => {
  const gate = gateAnswer();
  receiver.answer = gate.answer;
  await liveRoute(engine.sql, 'flood', receiver.url, { timeout_ms: 60_000 });
  await queueEvents(engine.sql, 'flood', 2_000);
  const floods = await Promise.all(Array.from({ length: 25 }, () => deliver({ forMs: 3_600_000 })));
  await waitFor(async () => {
    const states = await Promise.all(floods.map(stateOf));
    return receiver.open === 32 && states.filter((state) => state === STARTED).length === 20;
  }, 60_000);
  const startedAt = performance.now();
  const drain = await engine.client.workflow.start('drain', {
    workflowId: `drain/${engine.target}/${randomUUID()}`,
    taskQueue: engine.taskQueue,
    args: [{ target: engine.target, cursorCode: 'iu_outbound_default', batchSize: 10, forMs: 0, idleMs: 50 }],
  });
  await drain.result();
  expect(performance.now() - startedAt).toBeLessThan(10_000);
  // The control: one delivery more finds no slot of its own.
  const late = await deliver();
  await waitFor(async () => (await stateOf(late)) !== undefined);
  expect(await stateOf(late)).toBe(SCHEDULED);
  await Promise.all([...floods, late].map((handle) => handle.cancel()));
  gate.open();
  await Promise.allSettled([...floods, late].map((handle) => handle.result()));
  expect([...receiver.keys().values()].every((times) => times === 1)).toBe(true);
});

test('a killed worker has lost nothing: what it held is delivered by the next, under the same keys', async () => {
  await liveRoute(engine.sql, 'killed', receiver.url, { timeout_ms: 1_000 });
  await queueEvents(engine.sql, 'killed', 3_000);
  receiver.answer = () => new Promise((resolve) => setTimeout(resolve, 20, 200));
  const taskQueue = ownTaskQueue();
  const { address } = engine;
  const access = { ...engine.access, delivery: { ...LOCAL_DELIVERY, leaseMs: 2_000, concurrency: 8 } };
  const first = await startChildWorker({ address, taskQueue, access });
  const handle = await deliver({ forMs: 0 }, taskQueue);
  await waitFor(async () => receiver.ledger.length > 500, 60_000);
  first.signal('SIGKILL');
  await first.ended;
  const second = await startChildWorker({ address, taskQueue, access });
  await handle.result();
  // What the lost worker held is due again when its leases end.
  await (await deliver({ forMs: 4_000 }, taskQueue)).result();
  await second.stop();
  expect(await queued(engine.sql, 'killed')).toBe(0);
  expect(await attempts(engine.sql, 'killed')).toEqual({ sent: 3_000 });
  expect(receiver.keys().size).toBe(3_000);
  expect(receiver.ledger.length).toBeLessThan(3_000 + 8 + 300);
  expect(await isBalanced(engine.sql)).toBe(true);
});

test('its schedule delivers by itself', async () => {
  await liveRoute(engine.sql, 'scheduled', receiver.url);
  const { client, target, taskQueue } = engine;
  const input = { target, forMs: 500, idleMs: 50 };
  const asked = { target, everyMs: 1_000, jitterMs: 0, taskQueue, actor: 'ana', reason: 'a test' };
  const request = { ...asked, start: { name: 'deliver', input } } as const;
  expect(await applySchedule(client, request)).toEqual({ applied: 'created', differences: [] });
  expect(await applySchedule(client, request)).toEqual({ applied: 'unchanged', differences: [] });
  await queueEvents(engine.sql, 'scheduled', 10);
  await waitFor(async () => (await queued(engine.sql, 'scheduled')) === 0, 60_000);
  expect(await readSchedule(client, target, 'deliver')).toMatchObject({
    overlap: 'SKIP',
    catchupMs: 30_000,
    workflowType: 'deliver',
  });
  await deleteSchedule(client, target, 'deliver');
  await waitFor(async () => {
    const query = `SluiceTarget = '${target}' and ExecutionStatus = 'Running'`;
    for await (const _ of client.workflow.list({ query })) return false;
    return true;
  }, 60_000);
  expect(receiver.ledger).toHaveLength(10);
});

test('the queue of deliveries is beside the queue of macros, whatever that is called', () => {
  expect(deliveryTaskQueue('sluice-macro')).toBe('sluice-delivery');
  expect(deliveryTaskQueue('another')).toBe('another-delivery');
});
