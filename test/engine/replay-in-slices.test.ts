import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { isBalanced } from '../delivery-activity/support/deliveries.ts';
import { setConfig } from '../sql-delivery/support/deliveries.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestEngine } from '../support/engine.ts';
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
  for (const handle of started.splice(0)) await handle.terminate().catch(() => undefined);
});
async function start(...args: Parameters<typeof startReplay>): Promise<ReplayHandle> {
  const handle = await startReplay(...args);
  started.push(handle);
  return handle;
}

const eventsOf = async (handle: ReplayHandle) => (await handle.fetchHistory()).events?.length ?? 0;

test('a plan is executed: every letter once more, resolved, under its own key', async () => {
  await deadLetters(engine, route, 300);
  const planHash = await planOf(engine, route, { canary: 'each' });
  await behave(engine, 'sends');
  const handle = await start(engine, planHash, { batchSize: 50 });
  expect(await handle.result()).toMatchObject({
    outcome: 'executed',
    state: 'executed',
    letters: 300,
    resolved: 300,
    failed: 0,
    waiting: 0,
    tries: 300,
  });
  expect(await attemptsOf(engine, route)).toEqual(['1 failed: 300', '2 sent: 300']);
  expect(await effectsOf(engine, route)).toEqual({ calls: 300, keys: 300 });
  expect(await isBalanced(engine.sql)).toBe(true);
  expect(await runsOf(engine, planHash)).toEqual(['executed']);
  expect(await progressOf(handle)).toEqual(await rowsOf(engine, planHash));
  expect(await detailsOf(handle)).toMatch(
    /\*\*executed\*\*[\s\S]*\| 300 \| 300 \| 0 \| 0 \| 0 \| 0 \| 300 \|/,
  );
});

test('ten times the letters leave the same history', async () => {
  const counts: number[] = [];
  for (const letters of [10, 100]) {
    await deadLetters(engine, `${route}_${letters}`, letters);
    const planHash = await planOf(engine, `${route}_${letters}`);
    await behave(engine, 'sends');
    const handle = await start(engine, planHash, { batchSize: 5 });
    await handle.result();
    counts.push(await eventsOf(handle));
  }
  expect(counts[0]).toBe(counts[1]);
});

test('held, it tries nothing further and waits; released, it goes on', async () => {
  await deadLetters(engine, route, 100);
  const planHash = await planOf(engine, route, { ratePerSecond: 20 });
  await behave(engine, 'sends');
  const handle = await start(engine, planHash);
  await waitFor(async () => (await rowsOf(engine, planHash)).resolved > 0);
  const held = await steer(handle, 'hold', { reason: 'lunch' });
  expect(held).toMatchObject({ heldBy: 'bo', heldBecause: 'lunch' });
  await waitFor(async () => (await detailsOf(handle)).includes('**Held** by bo: lunch'));
  await waitFor(async () => (await handle.describe()).raw.pendingActivities?.length === 0);
  expect((await rowsOf(engine, planHash)).tries).toBe(held.tries);
  // The control: released, it is at work again.
  await steer(handle, 'setRate', { ratePerSecond: null });
  expect(await steer(handle, 'release')).toMatchObject({ heldBy: null });
  expect(await handle.result()).toMatchObject({ outcome: 'executed', resolved: 100 });
  expect((await storyOf(engine, planHash)).slice(-4)).toEqual([
    'hold by bo: lunch',
    'rate by bo: a test',
    'release by bo: a test',
    'ended by replay: executed',
  ]);
});

test('its rate is kept, and setting it counts at once', async () => {
  await deadLetters(engine, route, 200);
  const planHash = await planOf(engine, route, { ratePerSecond: 10 });
  await behave(engine, 'sends');
  const startedAt = performance.now();
  const handle = await start(engine, planHash);
  const { resolved } = await waitFor(async () => {
    const rows = await rowsOf(engine, planHash);
    return rows.resolved >= 20 ? rows : null;
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  expect(seconds).toBeGreaterThan(1.8);
  expect(resolved).toBeLessThanOrEqual(1 + 10 * seconds);
  expect(await steer(handle, 'setRate', { ratePerSecond: null })).toMatchObject({ ratePerSecond: null });
  expect(await handle.result()).toMatchObject({ resolved: 200, ratePerSecond: null });
  // At ten a second the rest would have taken 18 s.
  expect((performance.now() - startedAt) / 1_000).toBeLessThan(seconds + 12);
});

test('a rate far below one a second still hears what is asked of it', async () => {
  await deadLetters(engine, route, 5);
  const planHash = await planOf(engine, route, { ratePerSecond: 0.01 });
  await behave(engine, 'sends');
  const handle = await start(engine, planHash);
  await waitFor(async () => (await rowsOf(engine, planHash)).resolved === 1);
  await steer(handle, 'setRate', { ratePerSecond: 1_000 });
  expect(await handle.result()).toMatchObject({ resolved: 5 });
});

test('letters that are skipped stay open, and each says that somebody skipped it', async () => {
  await deadLetters(engine, route, 50);
  const planHash = await planOf(engine, route, { ratePerSecond: 5 });
  await behave(engine, 'sends');
  const handle = await start(engine, planHash);
  await waitFor(async () => (await rowsOf(engine, planHash)).resolved > 0);
  const { resolved, skipped } = await steer(handle, 'skip', { route });
  expect(resolved + skipped).toBe(50);
  expect(await handle.result()).toMatchObject({ outcome: 'executed', resolved, skipped });
  expect(
    await ask<object>(
      engine.sql,
      `select jsonb_object_agg(state, letters) as answer
       from (select state, count(*) as letters from iu_route_dead_letter where route_code = $1 group by state) as by_state`,
      [route],
    ),
  ).toEqual({ resolved, open: skipped });
  await expect(steer(handle, 'skip', { route })).rejects.toThrow();
});

test('what the target refuses fails the update, and the replay goes on as it was', async () => {
  await deadLetters(engine, route, 30);
  const planHash = await planOf(engine, route, { ratePerSecond: 5 });
  await behave(engine, 'sends');
  const handle = await start(engine, planHash);
  const ids = ['018f0000-0000-7000-8000-000000000001'];
  await expect(steer(handle, 'skip', { ids })).rejects.toMatchObject({
    cause: { type: 'dead_letter_not_found' },
  });
  await steer(handle, 'setRate', { ratePerSecond: null });
  expect(await handle.result()).toMatchObject({ resolved: 30, skipped: 0 });
});

test('a gate that is closed meanwhile holds it; it says why, costs no history, and goes on when the gate opens', async () => {
  await deadLetters(engine, route, 100);
  const planHash = await planOf(engine, route, { ratePerSecond: 20 });
  await behave(engine, 'sends');
  const handle = await start(engine, planHash);
  await waitFor(async () => (await rowsOf(engine, planHash)).resolved > 0);
  await setConfig(engine.sql, 'route_worker_enabled', 'false');
  try {
    await waitFor(async () => (await detailsOf(handle)).includes('**Held** by gate: worker_gate_closed'));
    const { tries } = await rowsOf(engine, planHash);
    const events = await eventsOf(handle);
    const looked = `select updated_at::text as answer from iu_replay_progress where plan_hash = $1`;
    const before = await ask<string>(engine.sql, looked, [planHash]);
    await waitFor(async () => (await ask<string>(engine.sql, looked, [planHash])) !== before);
    expect((await rowsOf(engine, planHash)).tries).toBe(tries);
    // The start of the slice that looks again may come in late.
    expect(await eventsOf(handle)).toBeLessThanOrEqual(events + 1);
  } finally {
    await setConfig(engine.sql, 'route_worker_enabled', 'true');
  }
  await steer(handle, 'setRate', { ratePerSecond: null });
  expect(await handle.result()).toMatchObject({ resolved: 100, heldBy: null });
  expect(await storyOf(engine, planHash)).toEqual(
    expect.arrayContaining([
      'gate_closed by replay: worker_gate_closed',
      'gate_opened by replay: worker_gate_closed',
    ]),
  );
});

test('in short slices it continues as new, opens once, and its chain is one run of the plan', async () => {
  await deadLetters(engine, route, 30);
  const planHash = await planOf(engine, route, { ratePerSecond: 15 });
  await behave(engine, 'sends');
  const handle = await start(engine, planHash, { sliceMs: 500, slicesPerRun: 2 });
  expect(await handle.result()).toMatchObject({ outcome: 'executed', resolved: 30, tries: 30 });
  const newest = await engine.client.workflow.getHandle(handle.workflowId).describe();
  expect(newest.runId).not.toBe(handle.firstExecutionRunId);
  expect(await runsOf(engine, planHash)).toEqual(['executed']);
  expect(await attemptsOf(engine, route)).toEqual(['1 failed: 30', '2 sent: 30']);
  const first = engine.client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId);
  expect((await first.describe()).status.name).toBe('CONTINUED_AS_NEW');
});

test('until the canary has passed it tries the canary; a later run goes on with the rest', async () => {
  await deadLetters(engine, route, 40);
  const planHash = await planOf(engine, route, { canary: 3 });
  await behave(engine, 'sends');
  const first = await start(engine, planHash, { until: 'canary' });
  expect(await first.result()).toMatchObject({ outcome: 'canary_passed', state: 'planned', resolved: 3 });
  expect(await detailsOf(first)).toContain('the canary has passed');
  const second = await start(engine, planHash);
  expect(await second.result()).toMatchObject({ outcome: 'executed', resolved: 40, tries: 40 });
  expect(await runsOf(engine, planHash)).toEqual(['canary_passed', 'executed']);
  expect(await effectsOf(engine, route)).toEqual({ calls: 40, keys: 40 });
});

test('more failures than the limit stop it for good; the rest is never tried', async () => {
  await deadLetters(engine, route, 40);
  const planHash = await planOf(engine, route, { failureLimit: 5 });
  const handle = await start(engine, planHash, { batchSize: 3 });
  const result = await handle.result();
  expect(result).toMatchObject({
    outcome: 'stopped',
    state: 'stopped',
    resolved: 0,
    because: expect.stringMatching(/letters failed, more than 5/),
  });
  expect(result.failed).toBeGreaterThan(5);
  expect(result.failed).toBeLessThanOrEqual(5 + 3);
  const again = await start(engine, planHash);
  await expect(again.result()).rejects.toMatchObject({ cause: { type: 'replay_ended' } });
});

test('a canary that fails stops it before the rest', async () => {
  await deadLetters(engine, route, 40);
  const planHash = await planOf(engine, route, { canary: 2, canaryFailureLimit: 0, failureLimit: 100 });
  const handle = await start(engine, planHash);
  const result = await handle.result();
  expect(result).toMatchObject({ outcome: 'stopped', canary: 'failed' });
  expect(result.tries).toBeLessThanOrEqual(2);
});

test('a letter is tried as often as its policy says, and then stays open with its count', async () => {
  await deadLetters(engine, route, 4);
  const policy = { attempts: 3, initialIntervalMs: 100, maximumIntervalMs: 200, failureLimit: 10 };
  const planHash = await planOf(engine, route, policy);
  const handle = await start(engine, planHash);
  expect(await handle.result()).toMatchObject({ outcome: 'executed', failed: 4, tries: 12 });
  expect(await attemptsOf(engine, route)).toEqual([
    '1 failed: 4',
    '2 failed: 4',
    '3 failed: 4',
    '4 failed: 4',
  ]);
});
