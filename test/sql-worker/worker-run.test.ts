import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { ask, emit, runNow, runWorker, settled, sqlstateOf } from './support/worker.ts';

const NO_OP = {
  seen: 0,
  attempts_written: 0,
  dead_lettered: 0,
  cursor_event_id: null,
  cursor_created_at: null,
};

describe.each([15, 18] as const)('fn_iu_route_worker_run on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  const attempts = () => ask<number>(client, 'select count(*)::int as answer from iu_route_attempt');
  const setGate = (key: string, value: string | null) =>
    client.query('update dot_config set value = $2 where key = $1', [`iu_core.${key}_enabled`, value]);

  test('routes what was emitted once, and then sees nothing', async () => {
    await emit(client);
    const last = await emit(client, {}, 'nobody_wants_it');
    expect(await runWorker(client)).toMatchObject({
      status: 'ran',
      seen: 2,
      attempts_written: 2,
      dead_lettered: 0,
      cursor_event_id: last,
      cursor_created_at: expect.stringMatching(/T.*\.\d+/),
    });
    const { rows } = await client.query(
      'select attempt_no, route_code, decision, status, delivered, idempotency_key = event_id || $1 as keyed from iu_route_attempt order by route_code',
      [':iu_version_applied:iu_outbound_default'],
    );
    expect(rows).toEqual([
      {
        attempt_no: 1,
        route_code: 'iu_version_applied',
        decision: 'dry_run',
        status: 'dry_run',
        delivered: false,
        keyed: true,
      },
      {
        attempt_no: 1,
        route_code: null,
        decision: 'no_route',
        status: 'skipped',
        delivered: false,
        keyed: false,
      },
    ]);
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 0, cursor_event_id: last });
  });

  test('takes no more than its limit, in commit order', async () => {
    const ids = [];
    for (let n = 0; n < 5; n += 1) ids.push(await emit(client, { n }));
    expect(await runWorker(client, 3)).toMatchObject({ seen: 3, cursor_event_id: ids[2] });
    expect(await runWorker(client, 3)).toMatchObject({ seen: 2, cursor_event_id: ids[4] });
  });

  test('a cursor reset writes nothing new', async () => {
    await emit(client);
    await runWorker(client);
    await client.query(
      `update iu_route_worker_cursor
       set cursor_epoch = null, cursor_xact_id = null, cursor_created_at = null, cursor_event_id = null`,
    );
    expect(await runWorker(client)).toMatchObject({ seen: 1, attempts_written: 0 });
    expect(await attempts()).toBe(1);
  });

  test.each([
    ['outbound', 'master_gate_closed'],
    ['route_worker', 'worker_gate_closed'],
  ])('with the %s gate closed in any way it is a clean no-op', async (gate, status) => {
    await emit(client);
    const before = await client.query('select * from iu_route_worker_cursor');
    for (const value of ['false', null, 'TRUE', 'true ', '1']) {
      await setGate(gate, value);
      expect(await runWorker(client), String(value)).toEqual({ status, ...NO_OP });
    }
    await client.query('delete from dot_config where key = $1', [`iu_core.${gate}_enabled`]);
    expect(await runWorker(client)).toEqual({ status, ...NO_OP });
    expect(await attempts()).toBe(0);
    expect((await client.query('select * from iu_route_worker_cursor')).rows).toEqual(before.rows);
  });

  test('a temporary dot_config of the caller opens no gate', async () => {
    await setGate('route_worker', 'false');
    await client.query(`create temp table dot_config as select * from public.dot_config`);
    await client.query(`update pg_temp.dot_config set value = 'true'`);
    await client.query('set search_path = pg_temp, public');
    expect(await runWorker(client)).toMatchObject({ status: 'worker_gate_closed' });
  });

  test('a second runner leaves at once with busy', async () => {
    const second = await database.connect();
    await emit(client);
    await client.query('begin');
    await runWorker(client);
    expect(await runWorker(second)).toEqual({ status: 'busy', ...NO_OP });
    await client.query('commit');
    expect(await runWorker(second)).toMatchObject({ status: 'ran', seen: 0 });
  });

  test('an event whose transaction commits late is not skipped', async () => {
    const late = await database.connect();
    await late.query('begin');
    const lateId = await emit(late);
    const earlyId = await emit(client);
    expect(await runNow(client)).toMatchObject({ status: 'ran', seen: 0 });
    await late.query('commit');
    expect(await runWorker(client)).toMatchObject({ seen: 2, cursor_event_id: earlyId });
    expect(
      await ask(client, 'select count(*)::int as answer from iu_route_attempt where event_id = $1', [lateId]),
    ).toBe(1);
  });

  test('a cursor over created_at alone would have skipped it', async () => {
    const late = await database.connect();
    await late.query('begin');
    const lateId = await emit(late);
    const earlyId = await emit(client);
    await late.query('commit');
    const lost = `select count(*)::int as answer from event_outbox
      where id = $1 and (created_at, id) > (select created_at, id from event_outbox where id = $2)`;
    expect(await ask(client, lost, [lateId, earlyId])).toBe(0);
    expect(await runWorker(client)).toMatchObject({ seen: 2 });
  });

  test('no event is lost beside writers that commit in random order', { timeout: 60_000 }, async () => {
    const writers = await Promise.all(Array.from({ length: 6 }, () => database.connect()));
    let writing = true;
    const drained = (async () => {
      let seen = 0;
      while (writing) seen += (await runNow(client, 50)).seen;
      return seen + (await runWorker(client, 1_000)).seen;
    })();
    await Promise.all(
      writers.map(async (writer, n) => {
        for (let i = 0; i < 25; i += 1) {
          await writer.query('begin');
          await emit(writer, { n, i });
          await writer.query('select pg_sleep(random() * 0.01)');
          await emit(writer, { n, i });
          await writer.query(Math.random() < 0.2 ? 'rollback' : 'commit');
        }
      }),
    );
    writing = false;
    expect(await drained).toBe(await ask(client, 'select count(*)::int as answer from event_outbox'));
    expect(await ask(client, `select fn_iu_conservation() ->> 'balanced' as answer`)).toBe('true');
  });

  test('a safety lag waits, and loses nothing', async () => {
    await emit(client);
    await client.query(`update iu_route_worker_cursor set safety_lag = '1 hour'`);
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 0, cursor_event_id: null });
    await client.query(`update iu_route_worker_cursor set safety_lag = '0'`);
    expect(await runWorker(client)).toMatchObject({ seen: 1 });
  });

  test.each([[0], [-1], [null], [10_001]])('a limit of %o is refused', async (limit) => {
    expect(
      await sqlstateOf(client.query(`select fn_iu_route_worker_run('iu_outbound_default', $1)`, [limit])),
    ).toBe('SL008');
  });

  test('the largest limit is a setting', async () => {
    await client.query(`update dot_config set value = '5' where key = 'iu_core.route_worker_max_batch'`);
    expect(await sqlstateOf(runWorker(client, 6))).toBe('SL008');
    expect(await runWorker(client, 5)).toMatchObject({ status: 'ran' });
  });

  test('a cursor that nobody registered is refused', async () => {
    expect(await sqlstateOf(runWorker(client, 10, 'nobody'))).toBe('SL008');
  });

  test.each(['repeatable read', 'serializable'])(
    'under %s it is refused outside a probe, and allowed inside',
    async (isolation) => {
      await client.query(`begin isolation level ${isolation}`);
      expect(await sqlstateOf(runNow(client))).toBe('SL008');
      await client.query('rollback');
      await client.query(`begin isolation level ${isolation}`);
      await client.query('select fn_iu_probe_begin()');
      expect(await runNow(client)).toMatchObject({ status: 'ran' });
      await client.query('rollback');
    },
  );

  test('an open cursor of another cluster is refused until the outbox is rebased', async () => {
    await emit(client, { n: 1 });
    await emit(client, { n: 2 });
    await runWorker(client, 1);
    await client.query('update iu_outbox_epoch set system_identifier = 1');
    await client.query('update iu_route_worker_cursor set system_identifier = 1');
    await emit(client, { n: 3 });
    expect(await sqlstateOf(runWorker(client))).toBe('SL007');
    expect(
      await ask(client, 'select fn_iu_outbox_rebase($1, $2) as answer', ['me', 'restored']),
    ).toMatchObject({
      epoch: 2,
      cursors_rebased: 1,
    });
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 2, attempts_written: 2 });
    expect(await ask(client, 'select cursor_epoch as answer from iu_route_worker_cursor')).toBe(2);
    expect(await ask(client, `select fn_iu_conservation() ->> 'balanced' as answer`)).toBe('true');
  });

  test('in a probe the window is the transaction’s own rows and no other', async () => {
    await emit(client);
    await client.query('begin');
    await client.query('select fn_iu_probe_begin()');
    const own = await emit(client);
    expect(await runNow(client)).toMatchObject({ seen: 1, cursor_event_id: own });
    await client.query('rollback');
    expect(await runWorker(client)).toMatchObject({ seen: 1 });
  });

  test('outside a probe it does not claim events of its own transaction', async () => {
    await client.query('begin');
    await emit(client);
    expect(await runNow(client)).toMatchObject({ status: 'ran', seen: 0 });
    await client.query('commit');
    expect(await runWorker(client)).toMatchObject({ seen: 1 });
  });

  test('a filter takes the events it names, and a false or null answer takes none', async () => {
    await client.query(`update iu_outbound_route set event_filter = '$.tags[*] ? (@ == "a")'`);
    await emit(client, { tags: ['a', 'b'] });
    await emit(client, { tags: ['b'] });
    await runWorker(client);
    await client.query(`update iu_outbound_route set event_filter = '$.size > 3'`);
    await emit(client, { size: 4 });
    await emit(client, { size: 2 });
    await emit(client, { size: 'x' });
    await emit(client, {});
    await runWorker(client);
    const { rows } = await client.query(
      `select payload, decision from iu_route_attempt join event_outbox on id = event_id order by event_outbox.created_at`,
    );
    expect(rows).toEqual([
      { payload: { tags: ['a', 'b'] }, decision: 'dry_run' },
      { payload: { tags: ['b'] }, decision: 'no_route' },
      { payload: { size: 4 }, decision: 'dry_run' },
      { payload: { size: 2 }, decision: 'no_route' },
      { payload: { size: 'x' }, decision: 'no_route' },
      { payload: {}, decision: 'no_route' },
    ]);
  });

  test('a live route behind a closed delivery gate is blocked, not tried', async () => {
    await client.query('alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk');
    await client.query('update iu_outbound_route set dry_run = false');
    await client.query(
      `insert into dot_config (key, value) values ('iu_core.delivery_enabled', 'true'), ('iu_core.delivery_live_routes', 'another')`,
    );
    await emit(client);
    expect(await runWorker(client)).toMatchObject({ seen: 1, attempts_written: 1, dead_lettered: 0 });
    expect(await ask(client, 'select decision as answer from iu_route_attempt')).toBe('blocked');
    expect(await ask(client, `select (fn_iu_route_worker_health() ->> 'blocked')::int as answer`)).toBe(1);
  });

  test('two cursors each decide for themselves', async () => {
    await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('second')`);
    await emit(client);
    expect(await runWorker(client)).toMatchObject({ attempts_written: 1 });
    expect(await runWorker(client, 10, 'second')).toMatchObject({ attempts_written: 1 });
    expect(await attempts()).toBe(2);
  });

  test('the worker role runs it with no right on any table', async () => {
    await emit(client);
    await settled(client);
    await client.query('set role iu_core_worker');
    expect(await runNow(client)).toMatchObject({ status: 'ran', seen: 1 });
    for (const table of [
      'event_outbox',
      'iu_route_attempt',
      'iu_route_worker_cursor',
      'iu_route_dead_letter',
      'dot_config',
    ]) {
      expect(await sqlstateOf(client.query(`select from ${table}`)), table).toBe('42501');
    }
    await client.query('set role iu_core_auditor');
    expect(await sqlstateOf(runNow(client))).toBe('42501');
    await client.query('reset role');
  });

  const HOT_UPDATES = `select pg_stat_get_xact_tuples_hot_updated('iu_route_worker_cursor'::regclass)::int as answer`;

  test('the cursor moves in place, once a batch: a heap-only update', async () => {
    for (let n = 0; n < 3; n += 1) await emit(client, { n });
    await settled(client);
    await client.query('begin');
    await runNow(client);
    expect(await ask(client, HOT_UPDATES)).toBe(1);
    await client.query('commit');
  });

  test('idle polling leaves the cursor row alone, and news are recorded at once', async () => {
    const recorded = () => ask<string>(client, 'select xmin::text as answer from iu_route_worker_cursor');
    await client.query(
      `update iu_route_worker_cursor
       set last_run_at = clock_timestamp() + interval '1 minute', last_run_summary = '{"status": "ran", "seen": 0}'`,
    );
    const before = await recorded();
    expect(await runNow(client)).toMatchObject({ status: 'ran', seen: 0 });
    expect(await recorded()).toBe(before);

    await emit(client);
    expect(await runWorker(client)).toMatchObject({ seen: 1 });
    const moved = await recorded();
    expect(moved).not.toBe(before);
    await runNow(client);
    expect(await recorded()).not.toBe(moved);

    await client.query(
      `update iu_route_worker_cursor set last_run_at = clock_timestamp() - interval '2 seconds'`,
    );
    const old = await recorded();
    await runNow(client);
    expect(await recorded()).not.toBe(old);
  });
});
