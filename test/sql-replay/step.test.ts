import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { attempts } from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute, cure, effects, trouble } from './support/replay-app.ts';
import {
  close,
  codeOf,
  lettersNow,
  makeDue,
  open,
  opened,
  placesOf,
  planned,
  progressOf,
  step,
  stepAll,
} from './support/replays.ts';

describe.each([15, 18] as const)('the steps of a replay on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
    await callingRoute(client, 'one');
  });
  afterEach(async () => {
    await database.drop();
  });

  test('letters that succeed are resolved, with one effect and one attempt more each, and say of which plan', async () => {
    await bury(client, 'one', ['a', 'b', 'c']);
    await cure(client);
    const hash = await opened(client);
    expect(await step(client, hash, { limit: 2 })).toMatchObject({
      status: 'working',
      taken: 2,
      usesQueue: false,
    });
    expect(await step(client, hash)).toMatchObject({
      status: 'working',
      taken: 1,
      progress: { resolved: 3, tries: 3 },
    });
    expect(await step(client, hash)).toMatchObject({ status: 'executed', taken: 0 });
    expect(await effects(client)).toEqual(['a', 'b', 'c']);
    expect(await attempts(client, 'one')).toEqual([
      ...['a', 'b', 'c'].flatMap(() => ['failed #1 worker_process_error', 'sent #2 delivered']),
    ]);
    expect(
      await ask(
        client,
        `select array_agg(distinct detail ->> 'plan') as answer from iu_route_attempt where attempt_no = 2`,
      ),
    ).toEqual([hash.slice(0, 16)]);
    expect(await close(client, hash, 'executed')).toMatchObject({ state: 'executed' });
  });

  test('a culprit among others fails alone, and what it did is rolled back', async () => {
    await bury(client, 'one', ['a', 'b', 'c']);
    await cure(client);
    await trouble(client, 'b', 'still no room');
    const hash = await opened(client);
    expect(await step(client, hash)).toMatchObject({ progress: { resolved: 2, failed: 1 } });
    expect(await effects(client)).toEqual(['a', 'c']);
    expect(await placesOf(client, hash)).toEqual([
      'a resolved 1',
      'b failed 1 worker_process_error',
      'c resolved 1',
    ]);
    expect(await lettersNow(client)).toEqual([
      'a resolved #2, 1 replays',
      'b open #2, 1 replays',
      'c resolved #2, 1 replays',
    ]);
  });

  test('a letter is tried as often as the policy says, each time later, and is then left open', async () => {
    await bury(client, 'one', ['a']);
    const hash = await opened(client, {
      attempts: 4,
      initialIntervalMs: 10_000,
      backoff: 3,
      maximumIntervalMs: 50_000,
    });
    for (const [tries, seconds] of [
      [1, 10],
      [2, 30],
      [3, 50],
    ] as const) {
      await makeDue(client);
      expect(await step(client, hash)).toMatchObject({
        status: 'working',
        taken: 1,
        progress: { tries, failed: 0 },
      });
      const waits = await step(client, hash);
      expect(waits).toMatchObject({ status: 'waiting', taken: 0, progress: { waiting: 1 } });
      expect(waits.dueInMs).toBeGreaterThan(seconds * 1000 - 5_000);
      expect(waits.dueInMs).toBeLessThanOrEqual(seconds * 1000);
    }
    await makeDue(client);
    expect(await step(client, hash)).toMatchObject({ progress: { tries: 4, failed: 1 } });
    expect(await step(client, hash)).toMatchObject({ status: 'executed' });
    expect(await lettersNow(client)).toEqual(['a open #5, 4 replays']);
  });

  test('jitter takes a part of the interval away, never adds to it', async () => {
    await bury(
      client,
      'one',
      Array.from({ length: 30 }, (_, n) => `n${n}`),
    );
    const hash = await opened(client, {
      attempts: 2,
      initialIntervalMs: 100_000,
      maximumIntervalMs: 100_000,
      jitter: 0.5,
    });
    await step(client, hash);
    const [least, most, kinds] = await ask<[number, number, number]>(
      client,
      `select jsonb_build_array(min(s), max(s), count(distinct s)) as answer
       from (select extract(epoch from due_at - clock_timestamp())::numeric(10, 3) as s from iu_replay_letter) as due`,
    );
    expect(least).toBeGreaterThan(45);
    expect(most).toBeLessThanOrEqual(100);
    expect(most - least).toBeGreaterThan(5);
    expect(kinds).toBeGreaterThan(10);
  });

  test('a failure that is not retryable gets no second try', async () => {
    await bury(client, 'one', ['a']);
    const hash = await opened(client, { attempts: 5, notRetryable: ['worker_process_error'] });
    await step(client, hash);
    expect(await step(client, hash)).toMatchObject({ status: 'executed', progress: { failed: 1, tries: 1 } });
  });

  test('what another try may cure counts for nothing: the step raises, and the next one has the same letters', async () => {
    await bury(client, 'one', ['a', 'b']);
    await cure(client);
    await trouble(client, 'b', 'lost');
    const hash = await opened(client);
    expect(await codeOf(step(client, hash))).toBe('40P01');
    expect(await progressOf(client, hash)).toMatchObject({ waiting: 2, tries: 0 });
    await cure(client);
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 2, tries: 2 },
    });
    expect(await effects(client)).toEqual(['a', 'b']);
  });

  test('the failure limit stops a run; the letters left stay open; it is final', async () => {
    await bury(client, 'one', ['a', 'b', 'c', 'd']);
    const hash = await opened(client, { failureLimit: 1 });
    await step(client, hash, { limit: 1 });
    expect(await step(client, hash, { limit: 1 })).toMatchObject({
      status: 'working',
      progress: { failed: 2 },
    });
    expect(await step(client, hash)).toMatchObject({
      status: 'stopped',
      because: '2 letters failed, more than 1',
      taken: 0,
      progress: { waiting: 2 },
    });
    await close(client, hash, 'stopped');
    expect(await codeOf(open(client, hash, 'run-2'))).toBe('SL010 replay_ended');
    expect(await codeOf(step(client, hash))).toBe('SL010 replay_ended');
  });

  test('the failure limit counts anew in every run; that of the canary does not', async () => {
    await bury(client, 'one', ['a', 'b', 'c', 'd']);
    const hash = await opened(client, { failureLimit: 1, canary: 4, canaryFailureLimit: 2 });
    await step(client, hash, { limit: 1 });
    await close(client, hash, 'cancelled');
    await open(client, hash, 'run-2');
    const runId = 'run-2';
    await step(client, hash, { limit: 1, runId });
    expect(await step(client, hash, { limit: 1, runId })).toMatchObject({
      status: 'working',
      progress: { failed: 3 },
    });
    expect(await step(client, hash, { limit: 1, runId })).toMatchObject({
      status: 'stopped',
      because: expect.stringMatching(/^3 of the canary's 4 letters failed, more than 2$/),
      progress: { canary: 'failed', waiting: 1 },
    });
  });

  test('the canary goes first; the rest goes once it has passed; until canary ends there', async () => {
    await bury(client, 'one', ['a', 'b']);
    await bury(client, 'one', ['c'], { message: 'of another kind' });
    await cure(client);
    const hash = await planned(client, { canary: 'each' });
    await open(client, hash);
    expect(await stepAll(client, hash, { until: 'canary' })).toMatchObject({
      status: 'canary_passed',
      progress: { resolved: 2, waiting: 1, canary: 'passed' },
    });
    expect(await close(client, hash, 'canary_passed')).toMatchObject({ state: 'planned' });
    await open(client, hash, 'run-2');
    expect(await step(client, hash, { until: 'canary', runId: 'run-2' })).toMatchObject({
      status: 'canary_passed',
      taken: 0,
    });
    expect(await stepAll(client, hash, { runId: 'run-2' })).toMatchObject({
      status: 'executed',
      progress: { resolved: 3 },
    });
    expect((await effects(client)).toSorted()).toEqual(['a', 'b', 'c']);
  });

  test('a canary that fails stops before the rest is tried', async () => {
    await bury(client, 'one', ['a', 'b', 'c']);
    const hash = await opened(client, { canary: 'each', canaryFailureLimit: 0 });
    await step(client, hash);
    expect(await step(client, hash)).toMatchObject({
      status: 'stopped',
      because: "1 of the canary's 1 letters failed, more than 0",
      progress: { failed: 1, waiting: 2, canary: 'failed' },
    });
    expect(await effects(client)).toEqual([]);
  });

  test('a canary of nothing: until canary ends at once', async () => {
    await bury(client, 'one', ['a']);
    const hash = await opened(client);
    expect(await step(client, hash, { until: 'canary' })).toMatchObject({
      status: 'canary_passed',
      taken: 0,
    });
  });

  test('a step with bad bounds is refused, and one of 0 letters only looks', async () => {
    await bury(client, 'one', ['a']);
    const hash = await opened(client);
    const call = (...values: unknown[]) =>
      codeOf(client.query('select fn_iu_replay_step($1, $2, $3, $4, $5)', [hash, 'run-1', ...values]));
    for (const values of [
      ['end', -1, 1],
      ['end', 10_001, 1],
      ['end', null, 1],
      ['end', 1, 0],
      ['end', 1, null],
      ['never', 1, 1],
      [null, 1, 1],
    ])
      expect(await call(...values), JSON.stringify(values)).toBe('SL010 replay_invalid');
    expect(await step(client, hash, { limit: 0 })).toMatchObject({ taken: 0, progress: { waiting: 1 } });
    expect(await codeOf(client.query(`select fn_iu_replay_step($1, 'run-9', 'end', 1, 1)`, [hash]))).toBe(
      'SL010 replay_ended',
    );
    expect(
      await codeOf(client.query(`select fn_iu_replay_step('${'f'.repeat(64)}', 'r', 'end', 1, 1)`)),
    ).toBe('SL010 replay_not_found');
  });
});
