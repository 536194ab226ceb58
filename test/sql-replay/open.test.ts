import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { setConfig } from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { demandBooks } from './support/books.ts';
import { buildReplayApp, bury, callingRoute, cure, effects } from './support/replay-app.ts';
import {
  close,
  codeOf,
  letterIds,
  open,
  opened,
  planned,
  progressOf,
  refusal,
  runOf,
  step,
  stepAll,
} from './support/replays.ts';

describe.each([15, 18] as const)('the opening of a replay on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
    await callingRoute(client, 'one');
    await bury(client, 'one', ['a', 'b', 'c']);
    await cure(client);
  });
  afterEach(async () => {
    await demandBooks(client);
    await database.drop();
  });
  const approve = (hash: string, actor: string | null, reason: string | null = 'seen') =>
    client.query('select fn_iu_replay_approve($1, $2, $3)', [hash, actor, reason]);
  const abandon = (hash: string, runId: string) =>
    client.query(`select fn_iu_replay_abandon($1, $2, 'its workflow is gone')`, [hash, runId]);

  test('a plan is found by its hash, by eight digits of it, and by nothing shorter, other or ambiguous', async () => {
    const hash = await planned(client);
    for (const bad of [
      '',
      'x',
      hash.slice(0, 7),
      hash.toUpperCase().slice(0, 20),
      `${hash}0`,
      'f'.repeat(64),
      '%',
    ])
      expect(await codeOf(open(client, bad)), bad).toBe('SL010 replay_not_found');
    expect(await open(client, hash.slice(0, 8))).toMatchObject({
      planHash: hash,
      progress: { state: 'running' },
    });
    const twin = hash.slice(0, 63) + (hash.endsWith('0') ? '1' : '0');
    await client.query(
      `insert into iu_replay_plan select (jsonb_populate_record(p, jsonb_build_object('plan_hash', $2::text))).* from iu_replay_plan as p where plan_hash = $1`,
      [hash, twin],
    );
    expect(await refusal(open(client, hash.slice(0, 20)))).toMatchObject({
      code: 'replay_not_found',
      message: expect.stringMatching(/^Several plans begin with/),
    });
    expect(await codeOf(client.query('select fn_iu_replay_read($1)', [hash.slice(0, 20)]))).toBe(
      'SL010 replay_not_found',
    );
  });

  test('opening again with the same run changes nothing; another run is told which one is under way', async () => {
    const hash = await opened(client);
    await step(client, hash, { limit: 1 });
    expect(await open(client, hash)).toMatchObject({ progress: { resolved: 1, state: 'running' } });
    expect(await ask(client, 'select count(*)::int as answer from iu_replay_run')).toBe(1);
    expect(await refusal(open(client, hash, 'run-2'))).toMatchObject({
      sqlstate: 'SL010',
      code: 'replay_under_way',
      detail: { other: runOf('run-1'), otherPlanHash: hash },
    });
  });

  test('a run that has ended is not opened again', async () => {
    const hash = await opened(client);
    await close(client, hash, 'cancelled');
    expect(await codeOf(open(client, hash))).toBe('SL010 replay_ended');
    expect(await open(client, hash, 'run-2')).toMatchObject({ progress: { state: 'running' } });
  });

  test('plans that share letters do not run at once; the second is told of the first, and goes once that has ended', async () => {
    const first = await opened(client, {}, { ids: await letterIds(client, 'a', 'b') });
    const other = await planned(client, {}, { ids: await letterIds(client, 'b', 'c') });
    const beside = await planned(client, {}, { ids: await letterIds(client, 'c') });
    expect(await refusal(open(client, other, 'run-2'))).toMatchObject({
      code: 'replay_overlaps',
      detail: { other: runOf('run-1'), otherPlanHash: first },
    });
    await open(client, beside, 'run-3');
    await close(client, beside, 'cancelled', 'run-3');
    await step(client, first);
    await open(client, other, 'run-2');
    await close(client, other, 'cancelled', 'run-2');
    await stepAll(client, first);
    await close(client, first, 'executed');
    await open(client, other, 'run-4');
    expect(await stepAll(client, other, { runId: 'run-4' })).toMatchObject({
      status: 'executed',
      progress: { resolved: 1, skipped: 1 },
    });
    expect((await effects(client)).toSorted()).toEqual(['a', 'b', 'c']);
  });

  test.each<[string, string, RegExp]>([
    ['was switched off', 'update iu_outbound_route set enabled = false', /route one was switched off/],
    ['was removed', `delete from iu_outbound_route where route_code = 'one'`, /route one was removed/],
    [
      'goes elsewhere',
      `update iu_outbound_route set target_ref = 'app.other' where route_code = 'one'`,
      /now goes to app.other/,
    ],
    ['is in dry run', `update iu_outbound_route set dry_run = true where route_code = 'one'`, /in dry run/],
    ['is ordered now', 'update iu_outbound_route set ordered_by_subject = true', /route one was changed/],
    ['is configured anew', `update iu_outbound_route set config = '{"x": 1}'`, /route one was changed/],
  ])('a plan whose route %s is stale', async (_, change, because) => {
    const hash = await planned(client);
    await client.query(`update iu_outbound_route set description = 'told anew', updated_at = now()`);
    await open(client, hash);
    await close(client, hash, 'cancelled');
    await client.query(change);
    const refused = await refusal(open(client, hash, 'run-2'));
    expect(refused.code).toBe('replay_stale');
    expect(refused.message).toMatch(because);
    expect(await codeOf(open(client, null, 'run-2'))).toBe('SL010 replay_not_found');
    expect(await codeOf(approve(hash, 'you'))).toBe('SL010 replay_stale');
  });

  test('a plan says the same of its routes to sessions of every time zone and date style', async () => {
    const hash = await planned(client);
    await client.query(
      `set timezone = 'Asia/Kathmandu'; set datestyle = 'SQL, DMY'; set extra_float_digits = 0`,
    );
    expect(await open(client, hash)).toMatchObject({ progress: { state: 'running' } });
  });

  test('a plan expires', async () => {
    await client.query(`update dot_config set value = '1' where key = 'iu_core.replay_plan_hours'`);
    const hash = await planned(client);
    await client.query(
      `alter table iu_replay_plan disable trigger trg_iu_replay_plan_append_only;
       update iu_replay_plan set expires_at = clock_timestamp();
       alter table iu_replay_plan enable always trigger trg_iu_replay_plan_append_only`,
    );
    expect(await refusal(open(client, hash))).toMatchObject({
      code: 'replay_stale',
      message: expect.stringMatching(/it has expired at 20/),
    });
  });

  test('above the limit another person approves first, by name and with a reason', async () => {
    await setConfig(client, 'replay_approval_above', '2');
    const hash = await planned(client);
    expect(await codeOf(open(client, hash))).toBe('SL010 replay_not_approved');
    expect(await codeOf(open(client, null))).toBe('SL010 replay_not_approved');
    for (const [actor, reason] of [
      ['me', 'seen'],
      [null, 'seen'],
      [' ', 'seen'],
      ['you', ''],
      ['you', null],
    ] as const)
      expect(await codeOf(approve(hash, actor, reason))).toBe('SL010 replay_not_approved');
    await approve(hash, 'you');
    await approve(hash, 'she');
    expect(await ask(client, `select array_agg(approved_by) as answer from iu_replay_progress`)).toEqual([
      'you',
    ]);
    await open(client, hash);
    await stepAll(client, hash);
    await close(client, hash, 'executed');
    expect(await codeOf(approve(hash, 'she'))).toBe('SL010 replay_ended');
    expect(await codeOf(open(client, hash, 'run-2'))).toBe('SL010 replay_ended');
  });

  test('at the limit nobody has to', async () => {
    await setConfig(client, 'replay_approval_above', '3');
    await open(client, await planned(client));
  });

  test('without a hash it is the one open plan; none or several are refused', async () => {
    expect(await codeOf(open(client, null))).toBe('SL010 replay_not_found');
    const [first] = [await planned(client), await planned(client)];
    expect(await refusal(open(client, null))).toMatchObject({ code: 'replay_invalid' });
    await open(client, first);
    expect(await codeOf(open(client, null, 'run-2'))).toBe('SL010 replay_overlaps');
    await stepAll(client, first);
    await close(client, first, 'executed');
    expect((await open(client, null, 'run-2')).progress).toMatchObject({ state: 'running' });
    expect(await open(client, null, 'run-2')).toMatchObject({ progress: { state: 'running' } });
  });

  test('a run names itself, who starts it and why', async () => {
    const hash = await planned(client);
    const call = (run: unknown, actor: string | null = 'me', reason: string | null = 'why') =>
      codeOf(
        client.query('select fn_iu_replay_open($1, $2, $3, $4)', [
          hash,
          run === null ? null : JSON.stringify(run),
          actor,
          reason,
        ]),
      );
    expect(await call(null)).toBe('SL010 replay_invalid');
    expect(await call([])).toBe('SL010 replay_invalid');
    expect(await call(runOf('r'), '')).toBe('SL010 replay_invalid');
    expect(await call(runOf('r'), 'me', null)).toBe('SL010 replay_invalid');
    for (const key of Object.keys(runOf('r')))
      expect(await call({ ...runOf('r'), [key]: undefined }), key).toBe('SL010 replay_invalid');
    expect(await call(runOf('r'))).toBe('none');
  });

  test('an abandoned run is carried on by another one, once, and cannot step any more', async () => {
    const hash = await opened(client);
    await step(client, hash, { limit: 1 });
    expect(await codeOf(abandon(hash, 'run-9'))).toBe('SL010 replay_not_found');
    await abandon(hash, 'run-1');
    await abandon(hash, 'run-1');
    expect(await progressOf(client, hash)).toMatchObject({ state: 'cancelled', resolved: 1 });
    await open(client, hash, 'run-2');
    await abandon(hash, 'run-1');
    expect(await progressOf(client, hash)).toMatchObject({ state: 'running' });
    expect(await codeOf(step(client, hash))).toBe('SL010 replay_ended');
    expect(await stepAll(client, hash, { runId: 'run-2' })).toMatchObject({ status: 'executed' });
    expect(
      await ask(
        client,
        'select array_agg(coalesce(outcome, $1) order by run_no) as answer from iu_replay_run',
        ['-'],
      ),
    ).toEqual(['abandoned', '-']);
  });

  test('closing is idempotent, and a run ends as what it is', async () => {
    const hash = await opened(client);
    expect(await codeOf(close(client, hash, 'done'))).toBe('SL010 replay_invalid');
    expect(await codeOf(close(client, hash, 'abandoned'))).toBe('SL010 replay_invalid');
    expect(await codeOf(close(client, hash, 'executed'))).toBe('SL010 replay_invalid');
    expect(await codeOf(close(client, hash, 'cancelled', 'run-9'))).toBe('SL010 replay_not_found');
    await stepAll(client, hash);
    const closed = await close(client, hash, 'executed');
    expect(closed).toMatchObject({ state: 'executed', resolved: 3 });
    for (const outcome of ['executed', 'cancelled', 'failed'])
      expect(await close(client, hash, outcome)).toEqual(closed);
  });

  test('a plan, its story and its letters are kept: nothing deletes or rewrites them', async () => {
    await opened(client);
    for (const statement of [
      `update iu_replay_plan set reason = 'other'`,
      'delete from iu_replay_plan',
      'truncate iu_replay_plan cascade',
      `update iu_replay_story set reason = 'other'`,
      'delete from iu_replay_story',
      'delete from iu_replay_run',
      'delete from iu_replay_letter',
      'truncate iu_replay_letter',
    ])
      expect(await codeOf(client.query(statement)), statement).toBe('SL004');
  });
});
