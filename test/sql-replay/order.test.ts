import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { claim, DEAD, liveRoute, ROUTE, settle } from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute, cure, effects, emitAll, trouble } from './support/replay-app.ts';
import { letterIds, makeDue, opened, placesOf, steer, step, stepAll } from './support/replays.ts';

describe.each([15, 18] as const)('the order of subjects in a replay on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
  });
  afterEach(async () => {
    await database.drop();
  });
  /** Letters of one subject each (`s1` is of `s`), of a route that keeps order and does `after` with a dead letter. */
  const buriedInOrder = async (after: 'block' | 'skip', ...names: string[]) => {
    await callingRoute(client, 'one', { ordered: true, after: 'skip' });
    for (const n of names) await bury(client, 'one', [n], { subject: n.slice(0, 1) });
    await client.query(`update iu_outbound_route set after_dead_letter = $1`, [after]);
    await cure(client);
  };

  test.each(['block', 'skip'] as const)('letters of one subject go one after another (%s)', async (after) => {
    await buriedInOrder(after, 's1', 's2', 's3', 't1', 't2');
    const hash = await opened(client);
    expect(await placesOf(client, hash)).toEqual([
      's1 waiting 0',
      's2 behind 0',
      's3 behind 0',
      't1 waiting 0',
      't2 behind 0',
    ]);
    expect(await step(client, hash)).toMatchObject({ taken: 2, progress: { resolved: 2 } });
    expect(await step(client, hash)).toMatchObject({ taken: 2, progress: { resolved: 4 } });
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 5 } });
    expect(await effects(client)).toEqual(['s1', 't1', 's2', 't2', 's3']);
  });

  test('behind one that fails for good the rest of its subject is skipped, where the route blocks', async () => {
    await buriedInOrder('block', 's1', 's2', 's3', 't1');
    await trouble(client, 's2', 'no room');
    const hash = await opened(client, { attempts: 2 });
    await step(client, hash);
    expect(await step(client, hash)).toMatchObject({ progress: { resolved: 2, waiting: 2, skipped: 0 } });
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed' });
    expect(await placesOf(client, hash)).toEqual([
      's1 resolved 1',
      's2 failed 2 worker_process_error',
      's3 skipped 0 subject_blocked',
      't1 resolved 1',
    ]);
    expect(await effects(client)).toEqual(['s1', 't1']);
  });

  test('and goes past it where the route skips', async () => {
    await buriedInOrder('skip', 's1', 's2', 's3');
    await trouble(client, 's2', 'no room');
    const hash = await opened(client);
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 2, failed: 1 },
    });
    expect(await effects(client)).toEqual(['s1', 's3']);
  });

  test.each([
    [
      'block',
      ['s1 resolved 1', 's2 resolved 1', 's3 skipped 0 skipped_by_request', 's4 skipped 0 subject_blocked'],
      ['s1', 's2'],
    ],
    [
      'skip',
      ['s1 resolved 1', 's2 resolved 1', 's3 skipped 0 skipped_by_request', 's4 resolved 1'],
      ['s1', 's2', 's4'],
    ],
  ] as const)(
    'one that waits behind and is skipped lets nobody overtake (%s)',
    async (after, places, done) => {
      await buriedInOrder(after, 's1', 's2', 's3', 's4');
      const hash = await opened(client);
      await steer(client, hash, 'skip', { ids: await letterIds(client, 's3') });
      expect((await placesOf(client, hash)).slice(0, 2)).toEqual(['s1 waiting 0', 's2 behind 0']);
      expect(await stepAll(client, hash)).toMatchObject({ status: 'executed' });
      expect(await placesOf(client, hash)).toEqual(places);
      expect(await effects(client)).toEqual(done);
    },
  );

  test.each([
    [
      'block',
      ['s1 skipped 0 skipped_by_request', 's2 skipped 0 subject_blocked', 's3 skipped 0 subject_blocked'],
    ],
    ['skip', ['s1 skipped 0 skipped_by_request', 's2 resolved 1', 's3 resolved 1']],
  ] as const)(
    'the first of a subject that is skipped blocks it, or lets the next one go (%s)',
    async (after, places) => {
      await buriedInOrder(after, 's1', 's2', 's3');
      const hash = await opened(client);
      await steer(client, hash, 'skip', { ids: await letterIds(client, 's1') });
      expect(await stepAll(client, hash)).toMatchObject({ status: 'executed' });
      expect(await placesOf(client, hash)).toEqual(places);
    },
  );

  test('first and second skipped at once: the third goes, where the route skips', async () => {
    await buriedInOrder('skip', 's1', 's2', 's3');
    const hash = await opened(client);
    await steer(client, hash, 'skip', { ids: await letterIds(client, 's1', 's2') });
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 1, skipped: 2 },
    });
  });

  test('one that was resolved meanwhile lets the next one go; one that was discarded counts as open', async () => {
    await buriedInOrder('block', 's1', 's2', 't1', 't2');
    const hash = await opened(client);
    const [s1, t1] = await letterIds(client, 's1', 't1');
    await client.query(`select fn_iu_route_dead_letter_replay($1, 'me', 'a test')`, [s1]);
    await client.query(`select fn_iu_dead_letter_change(array[$1::uuid], 'discarded', 'me', 'a test')`, [t1]);
    await stepAll(client, hash);
    expect((await effects(client)).filter((n) => n.startsWith('s'))).toEqual(['s1', 's2']);
    expect(await placesOf(client, hash)).toEqual([
      's1 skipped 0 resolved',
      's2 resolved 1',
      't1 skipped 0 discarded',
      't2 resolved 1',
    ]);
  });

  test.each([
    ['block', 's2 skipped 0 subject_blocked'],
    ['skip', 's2 resolved 1'],
  ] as const)(
    'an earlier letter that the plan leaves out holds back as the route says (%s)',
    async (after, told) => {
      await buriedInOrder(after, 's1', 's2');
      const hash = await opened(client, {}, { ids: await letterIds(client, 's2') });
      expect(await stepAll(client, hash)).toMatchObject({ status: 'executed' });
      expect(await placesOf(client, hash)).toEqual([told]);
    },
  );

  test('the canary has no letter that waits behind another, and lets its followers wait for the rest', async () => {
    await buriedInOrder('block', 's1', 's2', 't1');
    const hash = await opened(client, { canary: 3 });
    expect(await stepAll(client, hash, { until: 'canary' })).toMatchObject({
      status: 'canary_passed',
      progress: { resolved: 2, waiting: 1 },
    });
    expect(await effects(client)).toEqual(['s1', 't1']);
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 3 } });
  });

  test('deliveries of one subject are queued one at a time, and a hold keeps their order', async () => {
    await liveRoute(client, ROUTE, { ordered: true, after: 'skip' });
    for (const n of ['a', 'b', 'c']) {
      await emitAll(client, 'told', [n], 's');
      await runWorker(client);
      await settle(client, await claim(client), DEAD);
    }
    const hash = await opened(client);
    await step(client, hash);
    await steer(client, hash, 'hold');
    expect(await step(client, hash)).toMatchObject({ status: 'held', progress: { inFlight: 0, waiting: 3 } });
    await steer(client, hash, 'release');
    const delivered: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      await makeDue(client);
      expect(await step(client, hash)).toMatchObject({ progress: { inFlight: 1 } });
      const lease = await claim(client);
      delivered.push(...lease.rows.map((row) => JSON.parse(row.payload).n));
      await settle(client, lease);
    }
    expect(delivered).toEqual(['a', 'b', 'c']);
    expect(await step(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 3 } });
  });
});
