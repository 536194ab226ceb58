import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { ask, emit, runNow, runWorker, settled, sqlstateOf, until } from './support/worker.ts';

describe.each([15, 18] as const)('a run that must not, or cannot, go on, on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  const state = () =>
    ask<object>(
      client,
      `select jsonb_build_object(
         'attempts', (select count(*) from iu_route_attempt),
         'letters', (select count(*) from iu_route_dead_letter),
         'cursors', (select jsonb_agg(iu_route_worker_cursor order by cursor_code) from iu_route_worker_cursor)
       ) as answer`,
    );
  const leavesNothing = async (run: () => Promise<unknown>, sqlstate: string) => {
    const before = await state();
    expect(await sqlstateOf(run())).toBe(sqlstate);
    expect(await state()).toEqual(before);
  };

  test.each(['repeatable read', 'serializable'])(
    'refuses %s that the role’s default brings',
    async (isolation) => {
      await emit(client);
      await settled(client);
      await client.query(`set default_transaction_isolation = '${isolation}'`);
      await leavesNothing(() => runNow(client), 'SL008');
      await client.query('begin isolation level read committed');
      expect(await runNow(client)).toMatchObject({ status: 'ran', seen: 1 });
      await client.query('commit');
    },
  );

  test.each([[0], [-1], [null], [10_001], [2_147_483_647], [-2_147_483_648]])(
    'refuses a limit of %o',
    async (limit) => {
      await emit(client);
      await settled(client);
      await leavesNothing(
        () => client.query(`select fn_iu_route_worker_run('iu_outbound_default', $1)`, [limit]),
        'SL008',
      );
    },
  );

  test.each([['nobody'], [''], [null], ['IU_OUTBOUND_DEFAULT'], [`x'; drop table dot_config; --`]])(
    'refuses the cursor %o, which nobody registered',
    async (cursor) => {
      await leavesNothing(() => client.query('select fn_iu_route_worker_run($1, 10)', [cursor]), 'SL008');
    },
  );

  test('refuses a cursor whose row is gone, and starts from the first event where it is registered again', async () => {
    await emit(client);
    await runWorker(client);
    await client.query('delete from iu_route_worker_cursor');
    await leavesNothing(() => runNow(client), 'SL008');
    await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('iu_outbound_default')`);
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 1, attempts_written: 0 });
  });

  test('refuses a cursor ahead of every transaction of this cluster, which would pass over events to come', async () => {
    await emit(client);
    await runWorker(client);
    await client.query(
      `update iu_route_worker_cursor
       set cursor_xact_id = (pg_snapshot_xmax(pg_current_snapshot())::text::numeric + 1000000)::text::xid8`,
    );
    await emit(client);
    await settled(client);
    await leavesNothing(() => runNow(client), 'SL007');
  });

  test('an event that a cursor was moved past is listed as one without a decision', async () => {
    await emit(client);
    const passed = await emit(client);
    const last = await emit(client);
    await runWorker(client, 1);
    await client.query(
      `update iu_route_worker_cursor
       set cursor_xact_id = e.xact_id, cursor_created_at = e.created_at, cursor_event_id = e.id
       from event_outbox as e
       where e.id = $1`,
      [last],
    );
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 0 });
    const proof = await ask<{ balanced: boolean; cursors: { events_without_attempt: string[] }[] }>(
      client,
      'select fn_iu_conservation() as answer',
    );
    expect(proof.balanced).toBe(false);
    expect(proof.cursors[0]?.events_without_attempt).toEqual([passed, last]);
  });

  test.each([
    ['the cursor', 'update iu_route_worker_cursor set system_identifier = system_identifier + 1'],
    ['the newest epoch', 'update iu_outbox_epoch set system_identifier = system_identifier + 1'],
    ['the epoch of the cursor', 'update iu_route_worker_cursor set cursor_epoch = cursor_epoch + 1'],
  ])('refuses where %s is another cluster’s', async (_, foreign) => {
    await emit(client);
    await runWorker(client);
    await client.query(foreign);
    await leavesNothing(() => runNow(client), 'SL007');
  });

  test('a filter that raises for one event dead-letters that event alone, and the cursor goes past it', async () => {
    await client.query(`update iu_outbound_route set event_filter = 'strict $.size.double()'`);
    const ids: string[] = [];
    for (const size of ['4', 'not a number', '5']) ids.push(await emit(client, { size }));
    expect(await runWorker(client)).toMatchObject({ seen: 3, dead_lettered: 1, cursor_event_id: ids[2] });
    const { rows } = await client.query(
      `select event_id, decision, failure_code, detail ->> 'sqlstate' as code from iu_route_attempt order by event_id`,
    );
    expect(rows).toEqual([
      { event_id: ids[0], decision: 'dry_run', failure_code: null, code: null },
      { event_id: ids[1], decision: 'failed', failure_code: 'worker_process_error', code: '22036' },
      { event_id: ids[2], decision: 'dry_run', failure_code: null, code: null },
    ]);
    expect(await ask(client, 'select event_id as answer from iu_route_dead_letter')).toBe(ids[1]);
    expect(await ask(client, `select fn_iu_conservation() ->> 'balanced' as answer`)).toBe('true');
    expect(await runWorker(client)).toMatchObject({ seen: 0 });
  });

  /** The next attempt to record an attempt does this. */
  const recordingDoes = async (statement: string) => {
    await client.query(
      `create function in_the_way() returns trigger language plpgsql as $$ begin ${statement}; return new; end $$`,
    );
    await client.query(
      'create trigger in_the_way before insert on iu_route_attempt for each row execute function in_the_way()',
    );
  };
  const recordingIsFree = () => client.query('drop trigger in_the_way on iu_route_attempt');

  test.each(['40001', '40P01', '53200', '55P03', '57014', '25P02'])(
    'what a repetition may cure (%s) fails the run whole and leaves nothing; then the run goes through',
    async (sqlstate) => {
      await emit(client);
      await emit(client, {}, 'nobody_wants_it');
      await settled(client);
      await recordingDoes(`raise exception using errcode = '${sqlstate}', message = 'made up'`);
      await leavesNothing(() => runNow(client), sqlstate);
      await recordingIsFree();
      expect(await runWorker(client)).toMatchObject({ seen: 2, attempts_written: 2, dead_lettered: 0 });
    },
  );

  test('a run that its statement timeout ends leaves nothing', async () => {
    await emit(client);
    await settled(client);
    await recordingDoes('perform pg_sleep(20)');
    await client.query(`set statement_timeout = '200ms'`);
    await leavesNothing(() => runNow(client), '57014');
    await client.query('reset statement_timeout');
    await recordingIsFree();
    expect(await runWorker(client)).toMatchObject({ seen: 1, dead_lettered: 0 });
  });

  test('a run that a deadlock ends leaves nothing, and the other session goes on', async () => {
    const [other, watcher] = await Promise.all([database.connect(), database.connect()]);
    await client.query('create table hot (id integer)');
    await client.query('insert into hot values (1)');
    await client.query('alter table hot owner to iu_core_owner');
    await emit(client);
    await settled(client);
    await recordingDoes('perform from hot for update');
    // The run looks for a deadlock first, and so is the one that ends.
    await client.query(`set deadlock_timeout = '2s'`);
    await other.query(`set deadlock_timeout = '1min'`);
    const before = await state();
    await other.query('begin');
    await other.query('select from hot for update');
    const run = sqlstateOf(runNow(client));
    await until(
      watcher,
      `select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()) as answer`,
    );
    await other.query('select from iu_route_worker_cursor for update');
    expect(await run).toBe('40P01');
    await other.query('commit');
    expect(await state()).toEqual(before);
    await recordingIsFree();
    expect(await runWorker(client)).toMatchObject({ seen: 1, dead_lettered: 0 });
  });
});
