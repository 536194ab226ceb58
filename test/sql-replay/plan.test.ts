import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { claim, DEAD, liveRoute, setConfig, settle } from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute, cure, emitAll } from './support/replay-app.ts';
import {
  codeOf,
  letterIds,
  opened,
  PLAIN,
  placesOf,
  plan,
  planned,
  refusal,
  stepAll,
} from './support/replays.ts';

describe.each([15, 18] as const)('the plan of a replay on PostgreSQL %i', (major) => {
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
  const names = async (filter: unknown) => {
    const { planHash } = await plan(client, filter);
    return planHash === null
      ? []
      : (await placesOf(client, planHash)).map((told) => told.split(' ')[0]).toSorted();
  };

  test('says how many letters of which routes and failures, who made it and for how long it holds', async () => {
    await bury(client, 'one', ['a', 'b']);
    await bury(client, 'one', ['c'], { message: 'of another kind' });
    const made = await plan(client, { routes: ['one'] }, { canary: 'each' }, 'me', 'a drill');
    expect(made).toMatchObject({
      planHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      letters: 3,
      canaryLetters: 2,
      excluded: [],
      filter: { routes: ['one'] },
      policy: {
        canary: 'each',
        canaryFailureLimit: 0,
        failureLimit: 10,
        ratePerSecond: 100,
        attempts: 1,
        notRetryable: [],
      },
      needsApproval: false,
      approvedBy: null,
      actor: 'me',
      reason: 'a drill',
      groups: [
        { route: 'one', failureCode: 'worker_process_error', message: 'no room', letters: 2, tried: 0 },
        {
          route: 'one',
          failureCode: 'worker_process_error',
          message: 'of another kind',
          letters: 1,
          tried: 0,
        },
      ],
      routes: [
        {
          route: 'one',
          targetKind: 'sql_function',
          targetRef: 'app.take',
          formerTargetRefs: [],
          mode: 'live',
          breaker: null,
          isOrdered: false,
        },
      ],
    });
    expect(Date.parse(made.expiresAt) - Date.parse(made.plannedAt)).toBe(24 * 3_600_000);
    const again = await plan(client, { routes: ['one'] }, { canary: 'each' }, 'me', 'a drill');
    expect(again.planHash).not.toBe(made.planHash);
  });

  test('freezes its letters: what fails later is not among them', async () => {
    await bury(client, 'one', ['a']);
    const hash = await opened(client);
    await bury(client, 'one', ['b']);
    await cure(client);
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { letters: 1, resolved: 1 },
    });
  });

  test('of nothing has no hash and stores nothing', async () => {
    expect(await plan(client)).toMatchObject({
      planHash: null,
      letters: 0,
      groups: [],
      routes: [],
      excluded: [],
    });
    expect(await ask(client, 'select count(*)::int as answer from iu_replay_plan')).toBe(0);
  });

  test('goes by route, code, fingerprint, time, ids, state, number and replays', async () => {
    await callingRoute(client, 'two');
    await bury(client, 'one', ['a', 'b']);
    const between = await ask<string>(client, 'select clock_timestamp()::text as answer');
    await bury(client, 'two', ['c']);
    await bury(client, 'one', ['d'], { message: 'of another kind' });
    const ids = await letterIds(client, 'b', 'd');
    const fingerprint = await ask<string>(
      client,
      `select fingerprint as answer from iu_route_dead_letter where event #>> '{payload,n}' = 'd'`,
    );
    expect(await names({})).toEqual(['a', 'b', 'c', 'd']);
    expect(await names({ routes: ['one'] })).toEqual(['a', 'b', 'd']);
    expect(await names({ routes: ['two', 'three'] })).toEqual(['c']);
    expect(await names({ codes: ['worker_process_error'] })).toEqual(['a', 'b', 'c', 'd']);
    expect(await names({ codes: ['http_500'] })).toEqual([]);
    expect(await names({ fingerprints: [fingerprint] })).toEqual(['d']);
    expect(await names({ failedSince: between })).toEqual(['c', 'd']);
    expect(await names({ failedUntil: between })).toEqual(['a', 'b']);
    expect(await names({ ids })).toEqual(['b', 'd']);
    expect(await names({ ids, routes: ['two'] })).toEqual([]);
    expect(await names({ maxLetters: 2 })).toEqual(['a', 'b']);
    await client.query(`select fn_iu_route_dead_letter_replay($1, 'me', 'a test')`, [ids[0]]);
    expect(await names({ maxReplays: 1 })).toEqual(['a', 'c', 'd']);
    expect(await names({ failedUntil: between })).toEqual(['a']);
    await client.query(`select fn_iu_dead_letter_change($1, 'parked', 'me', 'known')`, [ids]);
    expect(await names({})).toEqual(['a', 'c']);
    expect(await names({ states: ['parked'] })).toEqual(['b', 'd']);
    expect(await names({ states: ['open', 'parked'] })).toEqual(['a', 'b', 'c', 'd']);
    expect(await names({ ids })).toEqual(['b', 'd']);
  });

  test('numbers that are whole count as whole however they are written', async () => {
    await bury(client, 'one', ['a', 'b']);
    await cure(client);
    const { rows } = await client.query(
      `select fn_iu_replay_plan('{"maxLetters": 1.0, "maxReplays": 5.00}',
         '{"attempts": 2.0, "canary": 1.0, "failureLimit": 3.0, "canaryFailureLimit": 0.0}', 'me', 'a test') as made`,
    );
    const { planHash, letters } = rows[0].made;
    expect(letters).toBe(1);
    await client.query('select fn_iu_replay_open($1, $2, $3, $4)', [
      planHash,
      JSON.stringify({
        workflowId: 'w',
        runId: 'run-1',
        temporalNamespace: 'n',
        temporalAddress: 'a',
        temporalClusterId: 'c',
      }),
      'me',
      'a test',
    ]);
    expect(await stepAll(client, planHash)).toMatchObject({ status: 'executed' });
  });

  test('leaves alone, and counts by reason, what is not to be replayed', async () => {
    for (const code of ['removed', 'disabled', 'choosy', 'in_dry_run', 'retyped']) {
      await callingRoute(client, code);
      await bury(client, code, [code]);
    }
    await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('beside')`);
    await bury(client, 'one', ['delivered']);
    await cure(client);
    await runWorker(client, 1, 'beside');
    for (let left = 1; left > 0; ) left = (await runWorker(client, 100, 'beside')).seen;
    await client.query(`delete from iu_outbound_route where route_code = 'removed'`);
    await client.query(`update iu_outbound_route set enabled = false where route_code = 'disabled'`);
    await client.query(`update iu_outbound_route set event_filter = '$.never' where route_code = 'choosy'`);
    await client.query(`update iu_outbound_route set event_type = 'other' where route_code = 'retyped'`);
    await client.query(`update iu_outbound_route set dry_run = true where route_code = 'in_dry_run'`);
    await liveRoute(client);
    await emitAll(client, 'told', ['queued', 'free']);
    await runWorker(client);
    await settle(client, await claim(client), DEAD);
    await client.query(
      `select fn_iu_route_dead_letter_replay($1, 'me', 'a test')`,
      await letterIds(client, 'queued'),
    );
    const made = await plan(client);
    // What another worker has delivered since is told as that, whatever has become of the route.
    expect(made.excluded).toEqual([
      ...['choosy', 'disabled', 'in_dry_run', 'one', 'removed', 'retyped'].map((route) => ({
        because: 'already_delivered',
        route,
        letters: 1,
      })),
      { because: 'queued', route: 'out', letters: 1 },
    ]);
    expect(made.letters).toBe(1);
  });

  test.each([
    ['route_removed', `delete from iu_outbound_route where route_code = 'one'`],
    ['route_disabled', `update iu_outbound_route set enabled = false where route_code = 'one'`],
    ['not_taken', `update iu_outbound_route set event_filter = '$.never' where route_code = 'one'`],
    ['not_taken', `update iu_outbound_route set event_type = 'other' where route_code = 'one'`],
    ['dry_run', `update iu_outbound_route set dry_run = true where route_code = 'one'`],
  ])('excludes as %s', async (because, change) => {
    await bury(client, 'one', ['a']);
    await client.query(change);
    expect(await plan(client)).toMatchObject({
      planHash: null,
      excluded: [{ because, route: 'one', letters: 1 }],
    });
  });

  test('keeps a letter whose filter raises over it: that may be what failed', async () => {
    await bury(client, 'one', ['a']);
    await client.query(
      `update iu_outbound_route set event_filter = 'strict $.not.there' where route_code = 'one'`,
    );
    expect(await plan(client)).toMatchObject({ letters: 1 });
  });

  test('names the targets that its letters were meant for before', async () => {
    await bury(client, 'one', ['a']);
    await client.query(`update iu_outbound_route set target_ref = 'app.other' where route_code = 'one'`);
    expect((await plan(client)).routes).toMatchObject([
      { targetRef: 'app.other', formerTargetRefs: ['app.take'] },
    ]);
  });

  test.each<[number | 'each', number]>([
    ['each', 2],
    [0, 0],
    [1, 1],
    [2, 2],
    [99, 4],
  ])('a canary of %s has %i letters, and they come first', async (canary, letters) => {
    await bury(client, 'one', ['a', 'b', 'c']);
    await bury(client, 'one', ['d'], { message: 'of another kind' });
    const made = await plan(client, {}, { ...PLAIN, canary });
    expect(made.canaryLetters).toBe(letters);
    const kinds = await ask<number>(
      client,
      `select count(distinct fingerprint)::int as answer from iu_replay_letter where place <= $1`,
      [letters],
    );
    expect(kinds).toBe(Math.min(letters, 2));
  });

  test('is refused where the filter matches more than a plan may have, unless it says how many', async () => {
    await setConfig(client, 'replay_max_letters', '2');
    await bury(client, 'one', ['a', 'b', 'c', 'd']);
    expect(await codeOf(plan(client))).toBe('SL010 replay_invalid');
    expect(await codeOf(plan(client, { maxLetters: 3 }))).toBe('SL010 replay_invalid');
    expect(await plan(client, { maxLetters: 2 })).toMatchObject({ letters: 2 });
    expect(await ask(client, 'select count(*)::int as answer from iu_replay_plan')).toBe(1);
    // Some of what it looks at is left alone, and some it does not look at: silently that would be a part of the letters.
    await client.query(
      `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered)
       select event_id || ':one:beside', 1, event_id, 'one', 'beside', 'sent', 'sent', true
       from iu_route_dead_letter where event #>> '{payload,n}' in ('a', 'b')`,
    );
    expect(await codeOf(plan(client))).toBe('SL010 replay_invalid');
    await setConfig(client, 'replay_max_letters', '4');
    expect(await plan(client)).toMatchObject({ letters: 2 });
  });

  test.each<[string, unknown]>([
    ['no object', []],
    ['no object', 'x'],
    ['an unknown key', { route: 'one' }],
    ['an unknown key', { routes: ['one'], Codes: ['x'] }],
    ['routes that are no list', { routes: 'one' }],
    ['an empty list', { routes: [] }],
    ['a text that is empty', { codes: [''] }],
    ['a number for a text', { fingerprints: [1] }],
    ['null for a text', { fingerprints: [null] }],
    ['null for a list', { routes: null }],
    ['a state that is final', { states: ['resolved'] }],
    ['a state that is final beside one that is not', { states: ['open', 'discarded'] }],
    ['no letters', { maxLetters: 0 }],
    ['less than none', { maxLetters: -1 }],
    ['half a letter', { maxLetters: 1.5 }],
    ['an absurd number', { maxLetters: 1e300 }],
    ['a number as a text', { maxLetters: '5' }],
    ['no replays', { maxReplays: 0 }],
    ['includeDryRun in words', { includeDryRun: 'yes' }],
    ['includeDryRun null', { includeDryRun: null }],
    ['a time that is none', { failedSince: 'soon' }],
    ['a time in words', { failedUntil: 'yesterday' }],
    ['infinity', { failedUntil: 'infinity' }],
    ['a time that is a number', { failedSince: 20240101 }],
    ['a day that is none', { failedSince: '2024-02-30' }],
    ['a time that is null', { failedSince: null }],
    ['a time that is a list', { failedSince: ['2024-01-01'] }],
  ])('a filter with %s is refused: %j', async (_, filter) => {
    await bury(client, 'one', ['a']);
    expect(await codeOf(plan(client, filter))).toBe('SL010 replay_invalid');
    expect(await ask(client, 'select count(*)::int as answer from iu_replay_plan')).toBe(0);
  });

  test('every bad policy is refused', async () => {
    await bury(client, 'one', ['a']);
    const bad: unknown[] = [
      [],
      'x',
      { rate: 5 },
      ...[0, -1, 1e9, '5', 0.001, {}, []].map((ratePerSecond) => ({ ratePerSecond })),
      ...[-1, 1.5, 'all', null, 1e300].map((canary) => ({ canary })),
      ...[-1, 0.5, null, 'x'].map((canaryFailureLimit) => ({ canaryFailureLimit })),
      ...[-1, 1e12, null].map((failureLimit) => ({ failureLimit })),
      ...[0, -1, 101, 1.5, null, '3'].map((attempts) => ({ attempts })),
      ...[-1, 1e12, 0.5].map((initialIntervalMs) => ({ initialIntervalMs })),
      ...[0, 0.5, 101, null].map((backoff) => ({ backoff })),
      ...[-1, 1e12].map((maximumIntervalMs) => ({ maximumIntervalMs })),
      { initialIntervalMs: 5000, maximumIntervalMs: 4000 },
      ...[-0.1, 1.1, null].map((jitter) => ({ jitter })),
      ...['x', [''], [1], null].map((notRetryable) => ({ notRetryable })),
    ];
    for (const policy of bad)
      expect(await codeOf(plan(client, {}, policy)), JSON.stringify(policy)).toBe('SL010 replay_invalid');
    for (const policy of [
      { ratePerSecond: null },
      { notRetryable: [] },
      { jitter: 0 },
      { failureLimit: 0 },
      { initialIntervalMs: 0 },
    ])
      expect(await codeOf(plan(client, {}, policy)), JSON.stringify(policy)).toBe('none');
  });

  test('ids that are unknown, malformed, resolved or discarded are refused, each by name', async () => {
    await bury(client, 'one', ['a', 'b', 'c']);
    const [a = '', b = '', c = ''] = await letterIds(client, 'a', 'b', 'c');
    await cure(client);
    await client.query(`select fn_iu_route_dead_letter_replay($1, 'me', 'a test')`, [a]);
    await client.query(`select fn_iu_dead_letter_change(array[$1::uuid], 'discarded', 'me', 'a test')`, [b]);
    for (const id of ['not-an-id', '0195f1a0-0000-7000-8000-000000000001', `${c} `, c.replaceAll('-', '')]) {
      const refused = await refusal(plan(client, { ids: [c, id] }));
      expect(refused, id).toMatchObject({ sqlstate: 'SL010', code: 'dead_letter_not_found' });
      expect(refused.message).toContain(id);
    }
    for (const id of [a, b]) {
      const refused = await refusal(plan(client, { ids: [c, id] }));
      expect(refused).toMatchObject({ sqlstate: 'SL010', code: 'dead_letter_refused' });
      expect(refused.message).toContain(id);
    }
    expect(await plan(client, { ids: [c, c] })).toMatchObject({ letters: 1 });
  });

  test('names who makes it and why', async () => {
    await bury(client, 'one', ['a']);
    for (const [actor, reason] of [
      [null, 'why'],
      ['', 'why'],
      ['me', ' '],
      ['me', null],
    ] as const)
      expect(await codeOf(plan(client, {}, {}, actor, reason))).toBe('SL010 replay_invalid');
  });

  test('shows what was tried out beside its groups, and no other number than that', async () => {
    await bury(client, 'one', ['a', 'b']);
    const hash = await planned(client);
    const [sample] = (await client.query('select * from fn_iu_replay_samples($1, 1)', [hash])).rows;
    expect(sample).toMatchObject({ place: 1, route_code: 'one', mode: 'live', target_ref: 'app.take' });
    const tried = [
      {
        route: 'one',
        fingerprint: sample.fingerprint,
        tried: 1,
        fixed: 0,
        stillFailing: 1,
        unknown: 0,
        because: 'no room',
        letters: 99,
      },
      { route: 'none', fingerprint: 'x', tried: 9 },
      'nonsense',
      null,
    ];
    await client.query('select fn_iu_replay_tried($1, $2)', [hash, JSON.stringify(tried)]);
    const { plan: read } = await ask<{ plan: unknown }>(client, 'select fn_iu_replay_read($1) as answer', [
      hash,
    ]);
    expect(read).toMatchObject({
      planHash: hash,
      groups: [{ letters: 2, tried: 1, stillFailing: 1, because: 'no room' }],
    });
    expect(await codeOf(client.query(`select fn_iu_replay_tried($1, '{}')`, [hash]))).toBe(
      'SL010 replay_invalid',
    );
    expect(await codeOf(client.query(`select fn_iu_replay_tried('x', '[]')`))).toBe('SL010 replay_not_found');
  });

  test('P7: a replay that fails is attempt 2 of a letter that stays open; in dry run attempt 3 resolves it; one key', async () => {
    await bury(client, 'one', ['a']);
    const [id] = await letterIds(client, 'a');
    const replay = () =>
      ask(client, `select fn_iu_route_dead_letter_replay($1, 'me', 'a test') as answer`, [id]);
    const stands = () =>
      ask(
        client,
        `select jsonb_build_array(state, replay_count, first_failure ->> 'attempt_no', last_failed_at > created_at) as answer
         from iu_route_dead_letter`,
      );
    expect(await replay()).toMatchObject({ decision: 'failed', resolved: false, attempt_no: 2 });
    expect(await stands()).toEqual(['open', 1, '1', true]);
    await client.query(`update iu_outbound_route set dry_run = true where route_code = 'one'`);
    expect(await replay()).toMatchObject({ decision: 'dry_run', resolved: true, attempt_no: 3 });
    expect(await stands()).toEqual(['resolved', 2, '1', true]);
    expect(
      await ask(
        client,
        `select jsonb_build_array(count(distinct idempotency_key), array_agg(attempt_no order by attempt_no)) as answer
         from iu_route_attempt where route_code = 'one'`,
      ),
    ).toEqual([1, [1, 2, 3]]);
  });
});
