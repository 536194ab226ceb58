import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { attempts, claim, DEAD, liveRoute, setConfig, settle } from '../sql-delivery/support/deliveries.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { drop, oldEvent, oldPartition } from '../sql-worker/support/partitions.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute, cure, effects, emitAll, trouble } from './support/replay-app.ts';
import {
  codeOf,
  letterIds,
  lettersNow,
  makeDue,
  open,
  opened,
  placesOf,
  plan,
  planned,
  progressOf,
  steer,
  step,
  stepAll,
} from './support/replays.ts';

describe.each([15, 18] as const)('a replay whose world changes meanwhile, on PostgreSQL %i', (major) => {
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
  const single = async (n: string) => {
    const [id] = await letterIds(client, n);
    return ask(client, `select fn_iu_route_dead_letter_replay($1, 'me', 'a test') as answer`, [id]);
  };
  const change = async (state: string, ...names: string[]) =>
    client.query(`select fn_iu_dead_letter_change($1, $2, 'me', 'known')`, [
      await letterIds(client, ...names),
      state,
    ]);

  test.each([
    ['outbound_enabled', 'false', 'true', 'master_gate_closed'],
    ['route_worker_enabled', 'false', 'true', 'worker_gate_closed'],
    ['delivery_enabled', 'false', 'true', 'delivery_gate_closed (route one)'],
    ['delivery_live_routes', '', 'one', 'not_on_the_live_list (route one)'],
  ])(
    '%s holds the run while it is closed; it is named, told once, and the run goes on',
    async (key, shut, wide, because) => {
      await bury(client, 'one', ['a']);
      await cure(client);
      const hash = await opened(client);
      const before = await attempts(client, 'one');
      await setConfig(client, key, shut);
      for (const _ of [1, 2])
        expect(await step(client, hash)).toMatchObject({
          status: 'held',
          because,
          taken: 0,
          progress: { heldBy: 'gate', heldBecause: because, waiting: 1 },
        });
      expect(await attempts(client, 'one')).toEqual(before);
      await setConfig(client, key, wide);
      expect(await step(client, hash)).toMatchObject({
        status: 'working',
        taken: 1,
        progress: { heldBy: null, resolved: 1 },
      });
      expect(
        await ask(
          client,
          `select array_agg(what order by story_id) as answer from iu_replay_story where what like 'gate%'`,
        ),
      ).toEqual(['gate_closed', 'gate_opened']);
    },
  );

  test.each([
    [
      'is switched off',
      `enabled = false, disabled_by = 'an operator'`,
      /route one was switched off by an operator/,
    ],
    ['goes elsewhere', `target_ref = 'app.other'`, /route one now goes to app.other/],
    ['is set to dry run', 'dry_run = true', /route one is in dry run now/],
    ['takes other events', `event_filter = '$.n'`, /route one was changed/],
  ])('a route that %s holds the run until it is changed back or skipped', async (_, set, because) => {
    await bury(client, 'one', ['a']);
    await callingRoute(client, 'two');
    await bury(client, 'two', ['b']);
    await cure(client);
    const hash = await opened(client);
    const before = await client.query(
      `select to_jsonb(r) as was from iu_outbound_route as r where route_code = 'one'`,
    );
    await client.query(`update iu_outbound_route set ${set} where route_code = 'one'`);
    expect(await step(client, hash)).toMatchObject({
      status: 'held',
      because: expect.stringMatching(because),
      taken: 0,
    });
    await client.query(
      `update iu_outbound_route as r set enabled = w.enabled, disabled_by = w.disabled_by, target_ref = w.target_ref,
         dry_run = w.dry_run, event_filter = w.event_filter
       from jsonb_populate_record(null::iu_outbound_route, $1) as w where r.route_code = 'one'`,
      [before.rows[0].was],
    );
    expect(await step(client, hash, { limit: 0 })).toMatchObject({ status: 'waiting' });
    await client.query(`update iu_outbound_route set ${set} where route_code = 'one'`);
    expect(await step(client, hash)).toMatchObject({ status: 'held' });
    await steer(client, hash, 'skip', { route: 'one' });
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 1, skipped: 1 },
    });
    expect(await lettersNow(client)).toEqual(['a open #1, 0 replays', 'b resolved #2, 1 replays']);
  });

  test('a route that changes between the look at the gate and the try counts for nothing', async () => {
    await bury(client, 'one', ['a']);
    await cure(client);
    const hash = await opened(client);
    await client.query(`
      alter function fn_iu_replay_gate(text, integer) rename to fn_iu_replay_gate_before;
      create function fn_iu_replay_gate(p_plan_hash text, p_place integer) returns text language plpgsql
      set search_path = public, pg_temp as $$
      declare v_answer constant text := fn_iu_replay_gate_before(p_plan_hash, p_place);
      begin
        update iu_outbound_route set dry_run = true where route_code = 'one';
        return v_answer;
      end $$;
      grant execute on function fn_iu_replay_gate(text, integer) to iu_core_owner`);
    expect(await codeOf(step(client, hash))).toBe('40001');
    expect(await lettersNow(client)).toEqual(['a open #1, 0 replays']);
  });

  test('letters in dry run are resolved where the plan includes them, and nothing is delivered', async () => {
    await bury(client, 'one', ['a']);
    await client.query(`update iu_outbound_route set dry_run = true where route_code = 'one'`);
    expect((await plan(client)).planHash).toBe(null);
    const hash = await opened(client, {}, { includeDryRun: true });
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 1 } });
    expect(await attempts(client, 'one')).toEqual(['failed #1 worker_process_error', 'dry_run #2']);
    expect(await effects(client)).toEqual([]);
  });

  test('letters that changed since the plan was made are left alone, each with why', async () => {
    await bury(client, 'one', ['resolved', 'discarded', 'parked', 'tried', 'same']);
    const hash = await planned(client);
    await single('tried');
    await cure(client);
    await single('resolved');
    await change('discarded', 'discarded');
    await change('parked', 'parked');
    await open(client, hash);
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 1, skipped: 4 },
    });
    expect(await placesOf(client, hash)).toEqual([
      'resolved skipped 0 resolved',
      'discarded skipped 0 discarded',
      'parked skipped 0 parked',
      'tried skipped 0 tried_since',
      'same resolved 1',
    ]);
    expect(await effects(client)).toEqual(['resolved', 'same']);
  });

  test('a parked letter is replayed where the plan asks for parked ones, or for it by id', async () => {
    await bury(client, 'one', ['a', 'b']);
    await change('parked', 'a', 'b');
    expect((await plan(client)).planHash).toBe(null);
    const byState = await planned(client, {}, { states: ['parked'], maxLetters: 1 });
    const byId = await planned(client, {}, { ids: await letterIds(client, 'b') });
    await cure(client);
    for (const [hash, runId] of [
      [byState, 'run-1'],
      [byId, 'run-2'],
    ] as const) {
      await open(client, hash, runId);
      expect(await stepAll(client, hash, { runId })).toMatchObject({
        status: 'executed',
        progress: { resolved: 1 },
      });
    }
  });

  test('a letter that somebody has at this moment is tried a little later', async () => {
    await bury(client, 'one', ['a', 'b']);
    await cure(client);
    const hash = await opened(client);
    const other = await database.connect();
    await other.query('begin');
    await other.query(`select from iu_route_dead_letter where event #>> '{payload,n}' = 'a' for update`);
    expect(await step(client, hash)).toMatchObject({ progress: { resolved: 1, waiting: 1, tries: 1 } });
    expect(await step(client, hash)).toMatchObject({ status: 'waiting', dueInMs: expect.any(Number) });
    await other.query('rollback');
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 2, tries: 2 },
    });
  });

  test('letters that belong to no route are decided as a whole', async () => {
    await client.query(`create function broken() returns trigger language plpgsql as $$ begin
      if new.decision <> 'failed' then raise exception 'made up'; end if; return new; end $$`);
    await client.query(
      'create trigger broken before insert on iu_route_attempt for each row execute function broken()',
    );
    await emitAll(client, 'of_no_route', ['a', 'b']);
    await runWorker(client);
    const hash = await opened(client, { attempts: 2 });
    expect(await step(client, hash)).toMatchObject({ progress: { tries: 2, waiting: 2 } });
    await client.query('drop trigger broken on iu_route_attempt');
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 2, tries: 4 },
    });
    expect(await lettersNow(client)).toEqual(['a resolved #3, 2 replays', 'b resolved #3, 2 replays']);
  });

  test('letters of events that were retired are replayed from their snapshots', async () => {
    await client.query(`update dot_config set value = 'true' where key = 'iu_core.retention_enabled'`);
    const old = await oldPartition(client, 50);
    await liveRoute(client);
    await trouble(client, '*', 'no room');
    await oldEvent(client, 50, { n: 'a' }, { type: 'one', subject: 'a' });
    await oldEvent(client, 50, { n: 'b' }, { type: 'told', subject: 'b' });
    await runWorker(client);
    await settle(client, await claim(client), DEAD);
    expect(await drop(client, old)).toMatchObject({ events: 2, attempts: 2 });
    const hash = await opened(client, { attempts: 2 });
    await step(client, hash);
    await step(client, hash);
    await settle(client, await claim(client), DEAD);
    await step(client, hash, { limit: 0 });
    expect(await lettersNow(client)).toEqual(['a open #2, 1 replays', 'b open #2, 1 replays']);
    await cure(client);
    await makeDue(client);
    await step(client, hash);
    await step(client, hash);
    await settle(client, await claim(client));
    expect(await stepAll(client, hash)).toMatchObject({
      status: 'executed',
      progress: { resolved: 2, tries: 4 },
    });
    expect(await lettersNow(client)).toEqual(['a resolved #3, 2 replays', 'b resolved #3, 2 replays']);
    expect(await effects(client)).toEqual(['a']);
  });

  test('letters of several routes and workers are each tried by their own', async () => {
    await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('beside')`);
    await callingRoute(client, 'two');
    await bury(client, 'one', ['a', 'b']);
    await bury(client, 'two', ['c']);
    await runWorker(client, 100, 'beside');
    await cure(client);
    const hash = await opened(client);
    expect((await progressOf(client, hash)).letters).toBe(6);
    expect(await stepAll(client, hash)).toMatchObject({ status: 'executed', progress: { resolved: 6 } });
    expect((await effects(client)).toSorted()).toEqual(['a', 'b', 'c']);
  });
});
