import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { buildSeam, effects, setDelivery } from './support/seam.ts';
import { conserved, emitOf, held, recorded } from './support/subjects.ts';
import { ask, emit, runWorker, sqlstateOf } from './support/worker.ts';

const ROUTE = 'iu_version_applied';

interface Release {
  readonly status: string;
  readonly released: number;
  readonly still_blocked: number;
  readonly attempts_written: number;
  readonly dead_lettered: number;
}

describe.each([15, 18] as const)('what a closed delivery gate keeps back, on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
    await buildSeam(client);
    await client.query('update iu_outbound_route set dry_run = false');
  });
  afterEach(async () => {
    await database.drop();
  });
  const release = (
    limit: number | null = 100,
    actor: string | null = 'me',
    reason: string | null = 'a drill',
  ) =>
    ask<Release>(client, `select fn_iu_route_blocked_release('iu_outbound_default', $1, $2, $3) as answer`, [
      limit,
      actor,
      reason,
    ]);
  const attempts = async () => {
    const { rows } = await client.query(
      `select event_id, attempt_no, decision, delivered, idempotency_key = event_id || ':iu_version_applied:iu_outbound_default' as keyed
       from iu_route_attempt order by attempt_no, event_id`,
    );
    return rows;
  };
  const countOf = (table: string) => ask<number>(client, `select count(*)::int as answer from ${table}`);
  const blocked = async () => {
    const { rows } = await client.query<{ event_id: string }>(
      `select event_id from fn_iu_route_blocked('iu_outbound_default')`,
    );
    return rows.map((row) => row.event_id);
  };
  const open = () => setDelivery(client, true, `other_route, ${ROUTE}`);
  const gate = (key: string, value: string) =>
    client.query('update dot_config set value = $2 where key = $1', [key, value]);

  test('each event has one attempt, blocked, is listed oldest first, and counted by health', async () => {
    const ids = [await emit(client), await emit(client)];
    expect(await runWorker(client)).toMatchObject({ seen: 2, attempts_written: 2, dead_lettered: 0 });
    expect(await attempts()).toEqual(
      ids.map((event_id) => ({
        event_id,
        attempt_no: 1,
        decision: 'blocked',
        delivered: false,
        keyed: true,
      })),
    );
    expect(await blocked()).toEqual(ids);
    expect(await ask(client, `select fn_iu_route_worker_health() -> 'blocked' as answer`)).toBe(2);
    expect(await effects(client)).toEqual([]);
    expect(await conserved(client)).toBe('balanced');
    expect(await runWorker(client)).toMatchObject({ seen: 0, attempts_written: 0 });
  });

  test.each([
    ['the gate has no row', null, null],
    ['the gate is false', 'false', ROUTE],
    ['the gate is nearly true', 'TRUE ', ROUTE],
    ['the list names another route', 'true', `${ROUTE}_2, other`],
    ['the list is empty', 'true', ''],
  ])('while %s a release does nothing and says why', async (_, value, routes) => {
    await emit(client);
    await runWorker(client);
    if (value !== null && routes !== null) {
      await setDelivery(client, true, routes);
      await gate('iu_core.delivery_enabled', value);
    }
    expect(await release()).toEqual({
      status: 'delivery_gate_closed',
      released: 0,
      still_blocked: 1,
      attempts_written: 0,
      dead_lettered: 0,
    });
    expect(await countOf('iu_route_attempt')).toBe(1);
    expect(await effects(client)).toEqual([]);
  });

  test('behind an open gate each is sent once, under its key, as attempt 2, with who and why', async () => {
    const ids = [await emit(client), await emit(client)];
    await runWorker(client);
    await open();
    expect(await release()).toEqual({
      status: 'released',
      released: 2,
      still_blocked: 0,
      attempts_written: 2,
      dead_lettered: 0,
    });
    expect((await attempts()).slice(2)).toEqual(
      ids.map((event_id) => ({ event_id, attempt_no: 2, decision: 'sent', delivered: true, keyed: true })),
    );
    expect(
      await ask(client, 'select detail as answer from iu_route_attempt where attempt_no = 2 limit 1'),
    ).toEqual({ released_by: 'me', reason: 'a drill' });
    expect(await blocked()).toEqual([]);
    expect(await conserved(client)).toBe('balanced');

    expect(await release()).toMatchObject({ status: 'released', released: 0, attempts_written: 0 });
    expect(await countOf('iu_route_attempt')).toBe(4);
    expect(await countOf('effect')).toBe(2);
  });

  test('page by page, oldest first, until nothing is left', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push(await emit(client));
    await runWorker(client);
    await open();
    expect(await release(2)).toMatchObject({ status: 'released', released: 2, still_blocked: 3 });
    expect(await blocked()).toEqual(ids.slice(2));
    expect(await release(2)).toMatchObject({ released: 2, still_blocked: 1 });
    expect(await release(2)).toMatchObject({ released: 1, still_blocked: 0 });
    expect(await release(2)).toMatchObject({ released: 0, still_blocked: 0 });
    const { rows } = await client.query<{ event_id: string }>(
      'select event_id from effect order by effect_no',
    );
    expect(rows.map((row) => row.event_id)).toEqual(ids);
  });

  test('an event whose target raises becomes a dead letter, and the others are sent', async () => {
    await emit(client);
    const bad = await emit(client, { raise: true });
    await emit(client);
    await runWorker(client);
    await open();
    expect(await release()).toEqual({
      status: 'released',
      released: 3,
      still_blocked: 0,
      attempts_written: 3,
      dead_lettered: 1,
    });
    const { rows } = await client.query(
      `select event_id, last_attempt -> 'attempt_no' as attempt, failure_detail ->> 'message' as message from iu_route_dead_letter`,
    );
    expect(rows).toEqual([
      { event_id: bad, attempt: 2, message: expect.stringContaining('the target refuses event') },
    ]);
    expect(await countOf('effect')).toBe(2);
    expect(await conserved(client)).toBe('balanced');
  });

  test('an error that another try may cure fails the release whole, and leaves everything blocked', async () => {
    const ids = [await emit(client), await emit(client)];
    await runWorker(client);
    await open();
    await client.query(`create function busy() returns trigger language plpgsql as $$ begin
      if (select count(*) from effect) > 1 then
        raise exception using errcode = 'deadlock_detected', message = 'made up';
      end if;
      return new; end $$`);
    await client.query(
      'create trigger busy before insert on iu_route_attempt for each row execute function busy()',
    );
    expect(await sqlstateOf(release())).toBe('40P01');
    expect(await blocked()).toEqual(ids);
    expect(await countOf('effect')).toBe(0);
    expect(await countOf('iu_route_dead_letter')).toBe(0);
  });

  test('a route that takes the event no more is recorded as skipped', async () => {
    await emit(client);
    await runWorker(client);
    await open();
    await client.query(`update iu_outbound_route set event_filter = '$.never'`);
    expect(await release()).toMatchObject({ status: 'released', released: 1, still_blocked: 0 });
    expect((await attempts()).at(-1)).toMatchObject({ attempt_no: 2, decision: 'skipped' });
    expect(await countOf('effect')).toBe(0);
    expect(await conserved(client)).toBe('balanced');
  });

  test('a route that went back to dry run releases into dry run; a disabled one stays blocked', async () => {
    await emit(client);
    await runWorker(client);
    await client.query('update iu_outbound_route set enabled = false');
    expect(await release()).toMatchObject({ released: 0, still_blocked: 1 });
    await client.query('update iu_outbound_route set enabled = true, dry_run = true');
    expect(await release()).toMatchObject({ status: 'released', released: 1, still_blocked: 0 });
    expect((await attempts()).at(-1)).toMatchObject({ attempt_no: 2, decision: 'dry_run' });
  });

  test('only the routes whose gate has opened are released', async () => {
    await client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
       values ('second', 'iu', 'version_applied', 'sql_function', 'x', true, false)`,
    );
    await emit(client);
    await runWorker(client);
    await setDelivery(client, true, 'second');
    expect(await release()).toMatchObject({ status: 'released', released: 1, still_blocked: 1 });
    expect(await ask(client, 'select route_code as answer from effect')).toBe('second');
    expect(await release()).toMatchObject({ status: 'delivery_gate_closed', released: 0, still_blocked: 1 });
  });

  describe('of an ordered route', () => {
    beforeEach(async () => {
      await client.query('update iu_outbound_route set ordered_by_subject = true');
    });

    test('one event of a subject is blocked, those behind it are held, and they go in order', async () => {
      for (const subject of ['a', 'b', 'a', 'a']) await emitOf(client, subject);
      await runWorker(client);
      expect((await recorded(client)).sort()).toEqual(['a/1 blocked', 'b/1 blocked']);
      expect(await held(client)).toEqual(['a/2', 'a/3']);
      await runWorker(client);
      expect(await release()).toMatchObject({ status: 'delivery_gate_closed', still_blocked: 2 });
      await open();
      await runWorker(client);
      expect(await effects(client)).toEqual([]);
      expect(await release()).toMatchObject({ status: 'released', released: 2, still_blocked: 0 });
      await runWorker(client);
      expect((await effects(client)).filter((each) => each.startsWith('a'))).toEqual(['a/1', 'a/2', 'a/3']);
      expect(await held(client)).toEqual([]);
      expect(await conserved(client)).toBe('balanced');
    });

    test('events that were blocked before the route asked for order keep the order of their subject', async () => {
      await client.query('update iu_outbound_route set dry_run = true');
      await client.query(
        `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
         values ('later', 'iu', 'version_applied', 'sql_function', 'x', true, false)`,
      );
      for (const subject of ['b', 'a', 'a', 'b', 'a']) await emitOf(client, subject);
      await emitOf(client, 'a', { raise: true });
      await emitOf(client, 'a');
      await runWorker(client);
      expect(await blocked()).toHaveLength(7);
      await client.query(`update iu_outbound_route set ordered_by_subject = true where route_code = 'later'`);
      await setDelivery(client, true, 'later');
      expect(await release(3)).toMatchObject({ status: 'released', released: 3 });
      expect(await effects(client)).toEqual(['a/1', 'a/2', 'a/3']);
      expect(await release(100)).toMatchObject({ released: 3, dead_lettered: 1, still_blocked: 1 });
      expect(await effects(client)).toEqual(['a/1', 'a/2', 'a/3', 'b/1', 'b/2']);
      expect(await release(100)).toMatchObject({ status: 'released', released: 0, still_blocked: 1 });
      await client.query(
        `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
      );
      expect(await release(100)).toMatchObject({ status: 'released', released: 1, still_blocked: 0 });
      expect((await effects(client)).at(-1)).toBe('a/5');
      expect(await conserved(client)).toBe('balanced');
    });
  });

  test.each([
    ['iu_core.outbound_enabled', 'master_gate_closed'],
    ['iu_core.route_worker_enabled', 'worker_gate_closed'],
  ])('with %s closed nothing is released: %s', async (key, status) => {
    await emit(client);
    await runWorker(client);
    await open();
    await gate(key, 'false');
    expect(await release()).toMatchObject({ status, released: 0, still_blocked: 1, attempts_written: 0 });
    expect(await countOf('effect')).toBe(0);
  });

  test('while the cursor is in another hand, or a gate is closing, nothing is released', async () => {
    await emit(client);
    await runWorker(client);
    await open();
    const other = await database.connect();
    await other.query('begin');
    await other.query('select from iu_route_worker_cursor for update');
    expect(await release()).toMatchObject({ status: 'busy', released: 0 });
    await other.query('rollback');
    await other.query('begin');
    await other.query('select pg_advisory_xact_lock(fn_iu_worker_lock_key())');
    expect(await release()).toMatchObject({ status: 'gate_closing', released: 0 });
    await other.query('rollback');
    expect(await release()).toMatchObject({ status: 'released', released: 1 });
  });

  test('a limit that is 0, negative, absurd or absent is refused, and nothing is written', async () => {
    await emit(client);
    await runWorker(client);
    await open();
    for (const limit of [0, -1, 10_001, 2_147_483_647, null]) {
      expect(await sqlstateOf(release(limit)), String(limit)).toBe('SL008');
    }
    for (const [actor, reason] of [
      ['', 'why'],
      ['me', ' '],
      [null, 'why'],
      ['me', null],
    ] as const) {
      expect(await sqlstateOf(release(1, actor, reason))).toBe('22023');
    }
    expect(
      await sqlstateOf(client.query(`select fn_iu_route_blocked_release('nobody', 1, 'me', 'why')`)),
    ).toBe('SL008');
    expect(await countOf('iu_route_attempt')).toBe(1);
    expect(await release(10_000)).toMatchObject({ released: 1 });
  });

  test('an operator may release, worker, auditor and emitter may not', async () => {
    await emit(client);
    await runWorker(client);
    await open();
    for (const role of ['iu_core_worker', 'iu_core_auditor', 'iu_core_emitter']) {
      await client.query(`set role ${role}`);
      expect(await sqlstateOf(release()), role).toBe('42501');
      await client.query('reset role');
    }
    await client.query('set role iu_core_operator');
    expect(await release()).toMatchObject({ status: 'released', released: 1 });
    await client.query('reset role');
  });
});
