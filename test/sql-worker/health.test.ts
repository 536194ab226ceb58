import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { ask, emit, runNow, runWorker, settled, until } from './support/worker.ts';

interface Health {
  readonly healthy: boolean;
  readonly reasons: readonly string[];
  readonly backlog: number;
  readonly oldest_unrouted_seconds: number;
  readonly master_gate_open: boolean;
  readonly worker_gate_open: boolean;
  readonly dead_letter_open: number;
  readonly attempts_in_audit: number;
  readonly high_water_mark: {
    readonly lag_seconds: number;
    readonly unsettled: number;
    readonly stalled: boolean;
    readonly blocker: Record<string, unknown> | null;
  };
}

describe.each([15, 18] as const)('health on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  const health = (asked = client) => ask<Health>(asked, 'select fn_iu_route_worker_health() as answer');

  /** Waits until the open transaction of this client is what holds the server's high-water mark back. */
  const oldest = async (holder: pg.Client) => {
    const xid = await ask<string>(holder, 'select pg_current_xact_id()::text as answer');
    await until(client, 'select pg_snapshot_xmin(pg_current_snapshot())::text = $1 as answer', [xid]);
  };

  test('is well after the first run, with nothing waiting', async () => {
    expect(await health()).toMatchObject({
      healthy: true,
      reasons: [],
      master_gate_open: true,
      worker_gate_open: true,
      backlog: 0,
      attempts_in_audit: 0,
      dead_letter_open: 0,
      queued_deliveries: 0,
      delivery_gate_open: false,
      cursors: [{ cursor_code: 'iu_outbound_default', last_run_summary: { status: 'ran', limit: 100 } }],
    });
  });

  test('a closed gate alone is no illness; events that wait behind it too long are', async () => {
    await client.query(`update dot_config set value = 'false' where key = 'iu_core.route_worker_enabled'`);
    expect(await health()).toMatchObject({ healthy: true, worker_gate_open: false });
    await client.query(`update dot_config set value = '1' where key = 'iu_core.health_max_unrouted_seconds'`);
    await emit(client);
    await client.query('select pg_sleep(1.05)');
    const ill = await health();
    expect(ill).toMatchObject({ healthy: false, backlog: 1 });
    expect(ill.reasons).toEqual([
      expect.stringMatching(/oldest undecided event is 1\.\d+ s old.*a gate is closed/),
    ]);
  });

  test.each([
    [
      'a gate without a row',
      `delete from dot_config where key = 'iu_core.route_worker_enabled'`,
      /worker gate has no row/,
    ],
    ['no cursor', 'delete from iu_route_worker_cursor', /no cursor/],
    [
      'a cursor of another cluster',
      'update iu_route_worker_cursor set system_identifier = 1',
      /another cluster/,
    ],
    [
      'an open dead letter',
      `insert into iu_route_dead_letter (idempotency_key, event_id, worker_code, event, last_attempt, failure_code, fingerprint)
       values ('k', gen_random_uuid(), 'w', '{}', '{}', 'x', 'x')`,
      /1 dead letters are open/,
    ],
  ])('says so when there is %s', async (_, fault, told) => {
    await client.query(fault);
    const ill = await health();
    expect(ill.healthy).toBe(false);
    expect(ill.reasons.join()).toMatch(told);
  });

  test('names the session that holds the high-water mark back, and what waits above it', async () => {
    const blocker = await database.connect({ application_name: 'a forgotten session' });
    const pid = await ask<number>(blocker, 'select pg_backend_pid() as answer');
    await blocker.query('begin');
    const xid = await ask<string>(blocker, 'select pg_current_xact_id()::xid::text as answer');
    await oldest(blocker);
    await emit(client);
    await runNow(client);
    const { high_water_mark: mark, backlog } = await health();
    expect(backlog).toBe(1);
    expect(mark).toMatchObject({
      unsettled: 1,
      stalled: false,
      blocker: {
        kind: 'session',
        pid,
        xid,
        database: database.name,
        user: 'postgres',
        application: 'a forgotten session',
      },
    });
    await client.query(`update dot_config set value = '1' where key = 'iu_core.health_max_stall_seconds'`);
    await client.query('select pg_sleep(1.05)');
    const ill = await health();
    expect(ill.high_water_mark.stalled).toBe(true);
    expect(ill.reasons.join()).toMatch(/held back for \d+\.\d+ s/);
    await blocker.query('rollback');
    await runWorker(client);
    expect(await health()).toMatchObject({ healthy: true, backlog: 0 });
  });

  test('sees a blocker in another database, and a prepared transaction', async () => {
    const elsewhere = await installed(major, 'outbox');
    const other = await elsewhere.connect();
    await other.query('begin');
    await oldest(other);
    expect((await health()).high_water_mark.blocker).toMatchObject({
      kind: 'session',
      database: elsewhere.name,
    });
    const gid = `held ${randomUUID()}`;
    await other.query(`prepare transaction '${gid}'`);
    expect((await health()).high_water_mark.blocker).toMatchObject({
      kind: 'prepared_transaction',
      gid,
      database: elsewhere.name,
      user: 'postgres',
    });
    await other.query(`rollback prepared '${gid}'`);
    await elsewhere.drop();
  });

  test('never names its own session', async () => {
    await client.query('begin');
    await client.query('select pg_current_xact_id()');
    const { high_water_mark: mark } = await health();
    expect(mark.blocker?.pid).not.toBe(await ask<number>(client, 'select pg_backend_pid() as answer'));
    await client.query('rollback');
  });

  test('who may not see how old other sessions are judges a stall by the events that wait; an operator sees both', async () => {
    await client.query(`update dot_config set value = '1' where key = 'iu_core.health_max_stall_seconds'`);
    const blocker = await database.connect();
    await blocker.query('begin');
    await oldest(blocker);
    await emit(client);
    await client.query('select pg_sleep(1.05)');
    for (const [role, age] of [
      ['iu_core_auditor', null],
      ['iu_core_operator', expect.any(Number)],
    ] as const) {
      await client.query(`set role ${role}`);
      expect(await health(), role).toMatchObject({
        healthy: false,
        high_water_mark: { stalled: true, blocker: { kind: 'session', age_seconds: age } },
      });
      await client.query('reset role');
    }
    await blocker.query('rollback');
  });

  test('it can be asked in a READ ONLY transaction', async () => {
    await client.query('begin isolation level repeatable read read only');
    expect(await health()).toMatchObject({ healthy: true });
    await client.query('rollback');
  });

  test('the views count what waits, what was decided and what is open', async () => {
    await client.query(`update iu_outbound_route set event_filter = 'strict $.a'`);
    await emit(client, { a: 1 });
    await emit(client, {});
    await emit(client, {}, 'nobody_wants_it');
    await settled(client);
    const backlog = await client.query(
      'select cursor_code, event_type, events::int, unsettled::int from v_iu_event_backlog order by 2',
    );
    expect(backlog.rows).toEqual([
      { cursor_code: 'iu_outbound_default', event_type: 'nobody_wants_it', events: 1, unsettled: 0 },
      { cursor_code: 'iu_outbound_default', event_type: 'version_applied', events: 2, unsettled: 0 },
    ]);
    await runWorker(client);
    expect((await client.query('select * from v_iu_event_backlog')).rows).toEqual([]);
    const summary = await client.query(
      'select route_code, decision, attempts::int, delivered::int from v_iu_route_attempt_summary order by decision',
    );
    expect(summary.rows).toEqual([
      { route_code: 'iu_version_applied', decision: 'dry_run', attempts: 1, delivered: 0 },
      { route_code: 'iu_version_applied', decision: 'failed', attempts: 1, delivered: 0 },
      { route_code: null, decision: 'no_route', attempts: 1, delivered: 0 },
    ]);
    expect(await ask(client, 'select count(*)::int as answer from v_iu_route_dead_letter_open')).toBe(1);
  });
});
