import { randomUUID } from 'node:crypto';
import type { temporal as proto } from '@temporalio/proto';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { DrainInput, DrainResult } from '../../contracts/drain.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, settled } from '../sql-worker/support/worker.ts';
import { startChildWorker } from '../support/child-worker.ts';
import { noBackup, observe, type TestEngine, testEngine } from '../support/engine.ts';
import { untilStatus } from '../support/engine-facts.ts';
import { ownTaskQueue } from '../support/temporal-address.ts';
import { waitFor } from '../support/wait-for.ts';

vi.setConfig({ testTimeout: 300_000 });

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ database: await installed(15, 'live') });
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

/** Writes events, and waits until the high-water mark has passed them. */
async function write(events: number): Promise<void> {
  for (let left = events; left > 0; left -= 10_000) {
    await engine.sql.query(
      `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
       select 'iu', 'version_applied', 'docs/a.md#' || n, jsonb_build_object('n', n), 'a test'
       from generate_series(1, $1) as n`,
      [Math.min(left, 10_000)],
    );
  }
  await settled(engine.sql);
}

function drain(input: Partial<DrainInput> = {}, taskQueue = engine.taskQueue) {
  return engine.client.workflow.start<(input: DrainInput) => Promise<DrainResult>>('drain', {
    workflowId: `drain/${engine.target}/${randomUUID()}`,
    taskQueue,
    args: [
      {
        target: engine.target,
        cursorCode: 'iu_outbound_default',
        batchSize: 500,
        forMs: 0,
        idleMs: 50,
        ...input,
      },
    ],
  });
}
type Handle = Awaited<ReturnType<typeof drain>>;

const counted = (handle: Handle) => handle.query<DrainResult>('status');
const eventTypes = async (handle: Handle, runId = handle.firstExecutionRunId) => {
  const { events } = await engine.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
  return (events ?? []).map(({ eventType }) => Number(eventType));
};
const CONTINUED_AS_NEW = 28;
const attempts = () => ask<number>(engine.sql, 'select count(*)::integer as answer from iu_route_attempt');
const isBalanced = () =>
  ask<boolean>(engine.sql, `select (fn_iu_conservation() ->> 'balanced')::boolean as answer`);

test('two hundred thousand events leave as much history as two hundred', async () => {
  await write(200);
  const few = await drain({ sliceMs: 600_000 });
  expect(await few.result()).toMatchObject({ events: 200, attempts: 200, batches: 1, status: 'ran' });
  await write(200_000);
  const many = await drain({ sliceMs: 600_000, batchSize: 5_000 });
  expect(await many.result()).toMatchObject({ events: 200_000, attempts: 200_000, deadLettered: 0 });
  expect(await eventTypes(many)).toEqual(await eventTypes(few));
  expect(await attempts()).toBe(200_200);
  expect(await isBalanced()).toBe(true);
});

test('a drain works in slices, continues as new, and counts the whole chain', async () => {
  await write(100);
  const handle = await drain({ forMs: 500, sliceMs: 1, slicesPerRun: 2, batchSize: 20, idleMs: 20 });
  expect(await handle.result()).toMatchObject({ events: 100, attempts: 100, status: 'ran' });
  const first = await eventTypes(handle);
  expect(first.at(-1)).toBe(CONTINUED_AS_NEW);
  expect(first.length).toBeLessThan(20);
  const last = await engine.client.workflow.getHandle(handle.workflowId).describe();
  expect(last.runId).not.toBe(handle.firstExecutionRunId);
  expect(await isBalanced()).toBe(true);
});

test('cancelled, it ends after the batch at work, and the counts of that batch are told', async () => {
  await write(30);
  const blocker = await engine.database.connect();
  await blocker.query('begin; lock table iu_route_attempt in share mode');
  const handle = await drain({ forMs: 3_600_000 });
  await waitFor(() =>
    ask<boolean>(
      engine.sql,
      `select exists (
         select from pg_stat_activity
         where application_name = 'sluice:drain:iu_outbound_default' and datname = current_database() and wait_event_type = 'Lock'
       ) as answer`,
    ),
  );
  await handle.cancel();
  await blocker.query('rollback');
  await blocker.end();
  await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  expect((await handle.describe()).status.name).toBe('CANCELLED');
  // A cancellation reaches the worker with its next heartbeat; until then further batches find nothing.
  expect(await counted(handle)).toMatchObject({ events: 30, attempts: 30 });
  const metadata = await handle.query<proto.api.sdk.v1.IWorkflowMetadata>('__temporal_workflow_metadata');
  expect(metadata.currentDetails).toMatch(/\*\*cancelled\*\*[\s\S]*\| 30 \| 30 \| 0 \| \d+ \|/);
  expect(await isBalanced()).toBe(true);
});

test('beside an observe window it stays one run, because a parent cancels no other, and ends with the window', async () => {
  const metric = {
    name: 'backlog',
    unit: 'events',
    script: engine.script('select count(*) as value from event_outbox where false'),
    pass: { max: 0 },
    consecutiveSuccess: 1,
    failureLimit: 0,
  };
  const input = { cursorCode: 'iu_outbound_default', batchSize: 100, forMs: 3_600_000, idleMs: 20 };
  const planHash = await engine.plan([
    noBackup(),
    {
      ...(observe('watch', [metric], { windowMs: 3_000 }) as ReturnType<typeof observe> & {
        kind: 'observe';
      }),
      alongside: { workflow: 'drain', input: { ...input, sliceMs: 200, slicesPerRun: 2 } },
    },
  ]);
  const handle = await engine.start(planHash);
  const { runNo } = await untilStatus(handle, ({ steps }) => steps.some(({ state }) => state === 'running'));
  const { outcome, cause } = await engine.outcome(handle);
  expect([outcome, cause]).toEqual(['succeeded', '']);
  const beside = engine.client.workflow.getHandle(`macro/${engine.target}/${runNo}/watch`);
  const ended = await beside.describe();
  expect(ended.status.name).toBe('CANCELLED');
  expect(ended.raw.workflowExecutionInfo?.firstRunId).toBe(ended.runId);
  expect(ended.historyLength).toBeGreaterThan(6 * 4);
});

test('a drain whose worker is killed goes on: every event is decided once, and none is counted twice', async () => {
  await write(20_000);
  const before = await attempts();
  const taskQueue = ownTaskQueue();
  const { address, access } = engine;
  const first = await startChildWorker({ address, taskQueue, access });
  const handle = await drain({ batchSize: 20 }, taskQueue);
  await waitFor(async () => (await attempts()) > before + 2_000);
  first.signal('SIGKILL');
  await first.ended;
  const atDeath = (await attempts()) - before;
  expect(atDeath).toBeLessThan(20_000);
  const second = await startChildWorker({ address, taskQueue, access });
  const result = await handle.result();
  await second.stop();
  expect(await attempts()).toBe(before + 20_000);
  expect(await isBalanced()).toBe(true);
  expect(result.events).toBeLessThanOrEqual(20_000);
  expect(result.events).toBeGreaterThanOrEqual(20_000 - atDeath - 20);
});
