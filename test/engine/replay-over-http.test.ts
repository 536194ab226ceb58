import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { isBalanced, liveRoute, pump, queued, queueEvents } from '../delivery-activity/support/deliveries.ts';
import { gateAnswer, type Receiver, startReceiver } from '../delivery-activity/support/receiver.ts';
import { setConfig } from '../sql-delivery/support/deliveries.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestEngine } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  attemptsOf,
  planOf,
  type ReplayHandle,
  replayingEngine,
  rowsOf,
  runsOf,
  startReplay,
  steer,
} from './support/replays.ts';

vi.setConfig({ testTimeout: 60_000 });

let engine: TestEngine;
let receiver: Receiver;
beforeAll(async () => {
  engine = await replayingEngine();
  // Refusals are what these letters are made of.
  await setConfig(engine.sql, 'delivery_breaker_min_tries', '1000000');
});
beforeEach(async () => {
  receiver = await startReceiver();
});
const started: ReplayHandle[] = [];
afterEach(async () => {
  for (const handle of started.splice(0)) await handle.terminate().catch(() => undefined);
  await receiver.close();
});
afterAll(() => engine.close());
async function start(...args: Parameters<typeof startReplay>): Promise<ReplayHandle> {
  const handle = await startReplay(...args);
  started.push(handle);
  return handle;
}

/** Dead letters of a route to the receiver, which refuses them. */
async function refusedLetters(route: string, letters: number): Promise<void> {
  const { sql, database } = engine;
  await liveRoute(sql, route, receiver.url);
  await queueEvents(sql, route, letters);
  receiver.answer = () => 400;
  await pump({ url: database.url });
  receiver.answer = () => 200;
  expect(receiver.ledger).toHaveLength(letters);
}

/** Waits for two more looks of the run at its rows. */
async function untilLookedTwice(planHash: string): Promise<void> {
  const looked = () =>
    ask<string>(
      engine.sql,
      'select updated_at::text as answer from iu_replay_progress where plan_hash = $1',
      [planHash],
    );
  for (let looks = 0; looks < 2; looks += 1) {
    const before = await looked();
    await waitFor(async () => (await looked()) !== before);
  }
}

/** How often each key arrived, as `times: keys`. */
function arrivals(): Record<string, number> {
  const counted: Record<string, number> = {};
  for (const times of receiver.keys().values()) counted[times] = (counted[times] ?? 0) + 1;
  return counted;
}

test('letters of an endpoint are queued and delivered by the replay itself, once, under the same key', async () => {
  await refusedLetters('mended', 300);
  const planHash = await planOf(engine, 'mended');
  const handle = await start(engine, planHash, { batchSize: 100 });
  expect(await handle.result()).toMatchObject({
    outcome: 'executed',
    resolved: 300,
    failed: 0,
    inFlight: 0,
    tries: 300,
  });
  expect(arrivals()).toEqual({ 2: 300 });
  expect(await attemptsOf(engine, 'mended')).toEqual(['1 failed: 300', '2 sent: 300']);
  expect(await isBalanced(engine.sql)).toBe(true);
});

test('an endpoint that still refuses gets the tries of the policy, and the letters stay open', async () => {
  await refusedLetters('still', 5);
  receiver.answer = () => 400;
  const policy = { attempts: 2, initialIntervalMs: 100, maximumIntervalMs: 200, failureLimit: 10 };
  const handle = await start(engine, await planOf(engine, 'still', policy));
  expect(await handle.result()).toMatchObject({ outcome: 'executed', failed: 5, tries: 10 });
  expect(arrivals()).toEqual({ 3: 5 });
  expect(await attemptsOf(engine, 'still')).toEqual(['1 failed: 5', '2 failed: 5', '3 failed: 5']);
});

test('cancelled, it settles what is in flight and takes back what is queued; a new run goes on', async () => {
  await refusedLetters('cut', 200);
  const gate = gateAnswer();
  receiver.answer = gate.answer;
  const planHash = await planOf(engine, 'cut', { failureLimit: 1_000 });
  const first = await start(engine, planHash, { batchSize: 50 });
  await waitFor(async () => receiver.open === 32 && (await rowsOf(engine, planHash)).inFlight === 200);
  await first.cancel();
  // What waits in the queue is taken back by the first look that finds the cancellation.
  await waitFor(async () => (await rowsOf(engine, planHash)).inFlight < 200);
  await untilLookedTwice(planHash);
  gate.open();
  await expect(first.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  const rows = await rowsOf(engine, planHash);
  expect(rows).toMatchObject({ state: 'cancelled', inFlight: 0, failed: 0 });
  expect(rows.resolved).toBe(receiver.ledger.length - 200);
  expect(rows.resolved).toBe(32);
  expect(await queued(engine.sql, 'cut')).toBe(0);

  receiver.answer = () => 200;
  const second = await start(engine, planHash);
  expect(await second.result()).toMatchObject({ outcome: 'executed', resolved: 200, tries: 200 });
  expect(arrivals()).toEqual({ 2: 200 });
  expect(await attemptsOf(engine, 'cut')).toEqual(['1 failed: 200', '2 sent: 200']);
  expect(await runsOf(engine, planHash)).toEqual(['cancelled', 'executed']);
  expect(await isBalanced(engine.sql)).toBe(true);
});

test('held, it settles what is in flight, and delivers the rest once it is released', async () => {
  await refusedLetters('held', 100);
  const gate = gateAnswer();
  receiver.answer = gate.answer;
  const planHash = await planOf(engine, 'held', { failureLimit: 1_000 });
  const handle = await start(engine, planHash, { batchSize: 50 });
  await waitFor(async () => receiver.open === 32 && (await rowsOf(engine, planHash)).inFlight === 100);
  await steer(handle, 'hold');
  await waitFor(async () => (await rowsOf(engine, planHash)).inFlight < 100);
  gate.open();
  await waitFor(async () => (await rowsOf(engine, planHash)).inFlight === 0, 40_000);
  expect(await rowsOf(engine, planHash)).toMatchObject({ resolved: 32, heldBy: 'bo' });
  expect(receiver.ledger).toHaveLength(132);
  await steer(handle, 'release');
  expect(await handle.result()).toMatchObject({ outcome: 'executed', resolved: 100, tries: 100 });
  expect(arrivals()).toEqual({ 2: 100 });
});

test('its rate counts for what it delivers, too', async () => {
  await refusedLetters('slowly', 30);
  const startedAt = performance.now();
  const handle = await start(engine, await planOf(engine, 'slowly', { ratePerSecond: 10 }));
  expect(await handle.result()).toMatchObject({ resolved: 30 });
  expect(performance.now() - startedAt).toBeGreaterThan(2_800);
});

test('at the end of a slice nothing in flight is broken off', async () => {
  await refusedLetters('long', 20);
  receiver.answer = () => new Promise((resolve) => setTimeout(resolve, 1_500, 200));
  const handle = await start(engine, await planOf(engine, 'long'), { sliceMs: 300 });
  expect(await handle.result()).toMatchObject({ resolved: 20, failed: 0, tries: 20 });
  expect(arrivals()).toEqual({ 2: 20 });
});
