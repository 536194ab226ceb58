import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { isBalanced } from '../delivery-activity/support/deliveries.ts';
import { ask } from '../sql-worker/support/worker.ts';
import { startChildWorker } from '../support/child-worker.ts';
import type { TestEngine } from '../support/engine.ts';
import { ownTaskQueue } from '../support/temporal-address.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  attemptsOf,
  behave,
  deadLetters,
  detailsOf,
  effectsOf,
  planOf,
  progressOf,
  type ReplayHandle,
  replayingEngine,
  rowsOf,
  runsOf,
  startReplay,
  steer,
  storyOf,
} from './support/replays.ts';

vi.setConfig({ testTimeout: 60_000 });

let engine: TestEngine;
beforeAll(async () => {
  engine = await replayingEngine();
});
afterAll(() => engine.close());

const started: ReplayHandle[] = [];
let routes = 0;
let route = '';
beforeEach(() => {
  routes += 1;
  route = `route_${routes}`;
});
afterEach(async () => {
  for (const { workflowId } of started.splice(0))
    await engine.client.workflow
      .getHandle(workflowId)
      .terminate()
      .catch(() => undefined);
});
async function start(...args: Parameters<typeof startReplay>): Promise<ReplayHandle> {
  const handle = await startReplay(...args);
  started.push(handle);
  return handle;
}
const untilResolved = (planHash: string, letters: number) =>
  waitFor(async () => (await rowsOf(engine, planHash)).resolved >= letters, 30_000);
const failureOf = (handle: ReplayHandle) =>
  handle.result().then(
    () => null,
    (error: Error) => error.cause as Error & { readonly type?: string },
  );

test('cancelled in the middle, it stops within one batch; a new run goes on and repeats nothing', async () => {
  await deadLetters(engine, route, 200);
  const planHash = await planOf(engine, route);
  await behave(engine, 'is slow');
  const first = await start(engine, planHash, { batchSize: 10 });
  await untilResolved(planHash, 20);
  await first.cancel();
  expect(await failureOf(first)).toMatchObject({ name: 'CancelledFailure' });
  expect((await first.describe()).status.name).toBe('CANCELLED');
  const rows = await rowsOf(engine, planHash);
  expect(rows).toMatchObject({ state: 'cancelled', inFlight: 0, failed: 0 });
  expect(rows.waiting).toBe(200 - rows.resolved);
  expect(rows.resolved).toBeLessThan(200);
  expect(await progressOf(first)).toEqual(rows);
  expect(await detailsOf(first)).toContain('**cancelled; the rest stays open');
  const later = `select count(*)::integer as answer
    from iu_route_attempt, iu_replay_story
    where iu_route_attempt.route_code = $1 and attempt_no = 2 and plan_hash = $2 and what = 'cancel'
      and iu_route_attempt.created_at > iu_replay_story.at`;
  expect(await ask<number>(engine.sql, later, [route, planHash])).toBe(0);

  await behave(engine, 'sends');
  const second = await start(engine, planHash);
  expect(await second.result()).toMatchObject({ outcome: 'executed', resolved: 200, tries: 200 });
  expect(await attemptsOf(engine, route)).toEqual(['1 failed: 200', '2 sent: 200']);
  expect(await effectsOf(engine, route)).toEqual({ calls: 200, keys: 200 });
  expect(await runsOf(engine, planHash)).toEqual(['cancelled', 'executed']);
  expect(await isBalanced(engine.sql)).toBe(true);
});

test('cancelled while it is held, it ends, and the rest stays open', async () => {
  await deadLetters(engine, route, 50);
  const planHash = await planOf(engine, route, { ratePerSecond: 10 });
  await behave(engine, 'sends');
  const handle = await start(engine, planHash);
  await untilResolved(planHash, 1);
  const { resolved } = await steer(handle, 'hold');
  await waitFor(async () => (await detailsOf(handle)).includes('**Held** by bo'));
  await handle.cancel();
  expect(await failureOf(handle)).toMatchObject({ name: 'CancelledFailure' });
  expect(await rowsOf(engine, planHash)).toMatchObject({ state: 'cancelled', resolved, heldBy: null });
  expect((await storyOf(engine, planHash)).at(-1)).toBe('ended by replay: cancelled');
});

test('a second run of the same plan is refused, and told which workflow is in the way', async () => {
  await deadLetters(engine, route, 50);
  const planHash = await planOf(engine, route, { ratePerSecond: 5 });
  await behave(engine, 'sends');
  const first = await start(engine, planHash, { sliceMs: 200, slicesPerRun: 2 });
  await waitFor(async () => {
    const newest = await engine.client.workflow.getHandle(first.workflowId).describe();
    return newest.runId !== first.firstExecutionRunId;
  });
  // The run that the target knows has continued as new, and its chain still goes on.
  const second = await start(engine, planHash, { workflowId: `another/${planHash}` });
  expect(await failureOf(second)).toMatchObject({
    type: 'replay_under_way',
    message: expect.stringContaining(first.workflowId),
  });
  expect((await failureOf(second))?.message).toContain(first.firstExecutionRunId);
  await steer(engine.client.workflow.getHandle(first.workflowId), 'setRate', { ratePerSecond: null });
  expect(await first.result()).toMatchObject({ resolved: 50 });
});

test('a plan that shares letters with one that is executed is refused, until that one has ended', async () => {
  await deadLetters(engine, route, 50);
  const one = await planOf(engine, route, { ratePerSecond: 5 });
  const other = await planOf(engine, route);
  await behave(engine, 'sends');
  const first = await start(engine, one);
  await untilResolved(one, 1);
  const second = await start(engine, other);
  expect(await failureOf(second)).toMatchObject({
    type: 'replay_overlaps',
    message: expect.stringContaining(first.workflowId),
  });
  await first.cancel();
  await failureOf(first);
  const { resolved } = await rowsOf(engine, one);
  const third = await start(engine, other);
  // What the first has resolved is none of its business any more.
  expect(await third.result()).toMatchObject({ resolved: 50 - resolved, skipped: resolved });
  expect(await attemptsOf(engine, route)).toEqual(['1 failed: 50', '2 sent: 50']);
});

test('a terminated run is taken over by the next one, also where its chain had gone on', async () => {
  await deadLetters(engine, route, 100);
  const planHash = await planOf(engine, route, { ratePerSecond: 20 });
  await behave(engine, 'sends');
  const first = await start(engine, planHash, { sliceMs: 200, slicesPerRun: 2 });
  await waitFor(async () => {
    const newest = await engine.client.workflow.getHandle(first.workflowId).describe();
    return newest.runId !== first.firstExecutionRunId;
  });
  await engine.client.workflow.getHandle(first.workflowId).terminate('a test');
  expect(await rowsOf(engine, planHash)).toMatchObject({ state: 'running' });
  const second = await start(engine, planHash);
  await steer(second, 'setRate', { ratePerSecond: null });
  expect(await second.result()).toMatchObject({ outcome: 'executed', resolved: 100, tries: 100 });
  expect(await runsOf(engine, planHash)).toEqual(['abandoned', 'executed']);
  expect(await attemptsOf(engine, route)).toEqual(['1 failed: 100', '2 sent: 100']);
});

test('a connection that is lost in the middle is made again, and nothing is repeated', async () => {
  await deadLetters(engine, route, 300);
  const planHash = await planOf(engine, route);
  await behave(engine, 'is slow');
  const handle = await start(engine, planHash, { batchSize: 20 });
  await untilResolved(planHash, 20);
  const cut = `select count(pg_terminate_backend(pid))::integer as answer from pg_stat_activity
    where datname = current_database() and application_name = 'sluice:replay'`;
  expect(await ask<number>(engine.sql, cut)).toBe(1);
  await behave(engine, 'sends');
  expect(await handle.result()).toMatchObject({ outcome: 'executed', resolved: 300, tries: 300 });
  expect(await attemptsOf(engine, route)).toEqual(['1 failed: 300', '2 sent: 300']);
  expect(await effectsOf(engine, route)).toEqual({ calls: 300, keys: 300 });
});

test('a killed worker has lost nothing: the next one carries on where the rows are', async () => {
  await deadLetters(engine, route, 300);
  const planHash = await planOf(engine, route);
  await behave(engine, 'is slow');
  const taskQueue = ownTaskQueue();
  const { address, access } = engine;
  const first = await startChildWorker({ address, taskQueue, access });
  const handle = await start({ ...engine, taskQueue }, planHash, { batchSize: 20 });
  await untilResolved(planHash, 40);
  first.signal('SIGKILL');
  await first.ended;
  await behave(engine, 'sends');
  const second = await startChildWorker({ address, taskQueue, access });
  expect(await handle.result()).toMatchObject({ outcome: 'executed', resolved: 300, tries: 300 });
  await second.stop();
  expect(await attemptsOf(engine, route)).toEqual(['1 failed: 300', '2 sent: 300']);
  expect(await effectsOf(engine, route)).toEqual({ calls: 300, keys: 300 });
});

test('a worker that shuts down ends its slice, and the next one goes on', async () => {
  await deadLetters(engine, route, 200);
  const planHash = await planOf(engine, route, { ratePerSecond: 50 });
  await behave(engine, 'sends');
  const taskQueue = ownTaskQueue();
  const { address, access } = engine;
  const first = await startChildWorker({ address, taskQueue, access });
  const handle = await start({ ...engine, taskQueue }, planHash);
  await untilResolved(planHash, 20);
  await first.stop();
  const { resolved } = await rowsOf(engine, planHash);
  expect(resolved).toBeLessThan(200);
  const second = await startChildWorker({ address, taskQueue, access });
  expect(await handle.result()).toMatchObject({ outcome: 'executed', resolved: 200, tries: 200 });
  await second.stop();
});

test.each([
  ['unknown', 'ab'.repeat(32), 'replay_not_found'],
  ['too short a prefix of one', 'abc', 'replay_not_found'],
])('a plan hash that is %s fails the run, and nothing is tried', async (_, planHash, type) => {
  expect(await failureOf(await start(engine, planHash))).toMatchObject({ type });
});

test('a plan that is executed, stale or not approved is refused', async () => {
  await deadLetters(engine, route, 2);
  await behave(engine, 'sends');
  const executed = await planOf(engine, route);
  await (await start(engine, executed)).result();
  expect(await failureOf(await start(engine, executed))).toMatchObject({ type: 'replay_ended' });

  await deadLetters(engine, `${route}_b`, 2);
  await behave(engine, 'sends');
  const stale = await planOf(engine, `${route}_b`);
  await engine.sql.query(`update iu_outbound_route set dry_run = true where route_code = $1`, [`${route}_b`]);
  expect(await failureOf(await start(engine, stale))).toMatchObject({ type: 'replay_stale' });

  await engine.sql.query(`update dot_config set value = '1' where key = 'iu_core.replay_approval_above'`);
  try {
    await deadLetters(engine, `${route}_c`, 2);
    const large = await planOf(engine, `${route}_c`);
    expect(await failureOf(await start(engine, large))).toMatchObject({ type: 'replay_not_approved' });
  } finally {
    await engine.sql.query(
      `update dot_config set value = '1000' where key = 'iu_core.replay_approval_above'`,
    );
  }
});
