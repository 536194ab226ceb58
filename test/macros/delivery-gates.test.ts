import type pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import {
  applyFile,
  readAfter,
  readChecks,
  textOf,
  tryProbe,
  verdicts,
} from '../sql-worker/support/run-file.ts';
import { ask, emit, runWorker, settled, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { AT_REST, allow, ledger, received, state, targetFunction } from './delivery-support/delivering.ts';

const SEAM_GATES = 'macros/delivery-seam/checks/mandatory-gates.sql';
const LIVE_GATES = 'macros/delivery-live/checks/mandatory-gates.sql';
const EVIDENCE = 'macros/durable-live-route/checks/evidence.sql';
const AT_REST_FILE = 'sql/iu-core/runtime/110_delivery_at_rest.sql';
const runtime = (name: string) => `sql/iu-core/runtime/${name}.sql`;
const rollback = (name: string) => `sql/iu-core/rollback/${name}.sql`;

const setting = (key: string, value: string | null) =>
  `update dot_config set value = ${value === null ? 'null' : `'${value}'`} where key = 'iu_core.${key}'`;
const QUEUED = `insert into iu_route_delivery (event_id, route_code, worker_code, attempt_no, target_kind, target_ref, request)
  values (gen_random_uuid(), 'iu_version_applied', 'iu_outbound_default', 1, 'report', 'x', '{}')`;
const LETTER = `insert into iu_route_dead_letter (idempotency_key, event_id, worker_code, event, last_attempt, failure_code, fingerprint)
  values ('k', gen_random_uuid(), 'w', '{}', '{}', 'x', 'x')`;
const LEASED = `insert into iu_route_lease (lease_token, route_code, leased_by, leased_until)
  values (gen_random_uuid(), 'iu_version_applied', 'somebody', now() + interval '1 minute')`;
const RESTS = `update iu_route_worker_cursor set paused_because = 'a test'`;
/** A version that no event tells of, so that the books do not balance. */
const SILENT = `select fn_iu_create_unit('a.md#b', 'B', 'one', 'me');
  alter table unit_version disable trigger trg_iu_out_version;
  select fn_iu_add_version('a.md#b', 'two', 'me');
  alter table unit_version enable always trigger trg_iu_out_version`;
const OUT_OF_DRY_RUN = `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
  values ('other', 'iu', 'x', 'report', 'x', false, false)`;
const BLOCKED = (id: string) =>
  `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status)
   values ('${id}:iu_version_applied:iu_outbound_default', 2, '${id}', 'iu_version_applied', 'iu_outbound_default', 'blocked', 'blocked')`;

const SEAM_SAYS_NO: readonly (readonly [string, string, string | ((event: string) => string)])[] = [
  ['S2', 'the worker gate is closed', setting('route_worker_enabled', 'false')],
  ['S2', 'the master gate is closed', setting('outbound_enabled', 'false')],
  ['S2', 'the cursor rests', RESTS],
  ['S3', 'no guard stands', 'drop trigger trg_iu_outbound_route_safe_guard on iu_outbound_route'],
  [
    'S3',
    'a route is live',
    `${setting('delivery_live_routes', 'iu_version_applied')}; update iu_outbound_route set dry_run = false where route_code = 'iu_version_applied'`,
  ],
  ['S4', 'the delivery gate is open', setting('delivery_enabled', 'true')],
  ['S4', 'a route is allowed', setting('delivery_live_routes', 'iu_version_applied')],
  ['S5', 'a delivery is queued', QUEUED],
  ['S5', 'a delivery is under way', LEASED],
  ['S5', 'an event is blocked', BLOCKED],
  ['S6', 'a dead letter is open', LETTER],
  ['S7', 'the books do not balance', SILENT],
  ['S8', 'temporary objects are closed to the owner', 'revoke temporary on database :db from public'],
  ['S9', 'the functions that claim are gone', 'drop function fn_iu_route_delivery_claim'],
  ['S9', 'the gate has no row', `delete from dot_config where key = 'iu_core.delivery_enabled'`],
];

const LIVE_SAYS_NO: readonly (readonly [string, string, string | ((event: string) => string)])[] = [
  [
    'B1',
    'the seam was put back to raising',
    `create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb) returns jsonb language plpgsql as $$ begin raise feature_not_supported; end $$`,
  ],
  ['B2', 'no guard stands', 'drop trigger trg_iu_outbound_route_safe_guard on iu_outbound_route'],
  [
    'B2',
    'the CHECK is there as well',
    'alter table iu_outbound_route add constraint iu_outbound_route_safe_chk check (not (enabled and not dry_run))',
  ],
  [
    'B3',
    'there is no dry-run attempt',
    'alter table iu_route_attempt disable trigger user; delete from iu_route_attempt',
  ],
  ['B4', 'the books do not balance', SILENT],
  ['B4', 'a cursor counts in another cluster', 'update iu_route_worker_cursor set system_identifier = 1'],
  [
    'B5',
    'a job of the database would deliver',
    `create schema cron; create table cron.job (command text); insert into cron.job values ('select fn_iu_route_worker_run(1)')`,
  ],
  ['B6', 'no route is allowed', setting('delivery_live_routes', '')],
  ['B6', 'two names are on the list', setting('delivery_live_routes', 'iu_version_applied,other')],
  ['B6', 'a name on the list is no route', setting('delivery_live_routes', 'nowhere')],
  ['B7', 'the delivery gate is open', setting('delivery_enabled', 'true')],
  ['B7', 'the delivery gate holds something else', setting('delivery_enabled', 'no')],
  ['B7', 'the master gate is closed', setting('outbound_enabled', 'false')],
  ['B8', 'the route is off', `update iu_outbound_route set enabled = false`],
  ['B8', 'another route is out of dry run', OUT_OF_DRY_RUN],
  ['B9', 'a dead letter is open', LETTER],
  ['B10', 'a delivery is queued', QUEUED],
  ['B10', 'a delivery is under way', LEASED],
  [
    'B11',
    'an event is held back',
    (id) =>
      `insert into iu_route_held (worker_code, route_code, event_domain, event_subject, subject_seq, event_id)
       values ('iu_outbound_default', 'iu_version_applied', 'iu', 's', 1, '${id}')`,
  ],
  ['B11', 'an event is blocked', BLOCKED],
  [
    'B12',
    'the breaker is open',
    `insert into iu_route_breaker (route_code, state, probe_at) values ('iu_version_applied', 'open', now())`,
  ],
  [
    'B13',
    'its function is not allowed',
    `update iu_outbound_route set target_kind = 'sql_function', target_ref = 'app.receive'`,
  ],
  ['B14', 'the cursor rests', RESTS],
];

describe.each([15, 18] as const)('on PostgreSQL %i', { timeout: 60_000 }, (major) => {
  let database: TestDatabase;
  afterEach(async () => {
    await database.drop();
  });

  /** With the seam built, one dry-run attempt, and the id of its event. */
  const delivering = async (): Promise<{ sql: pg.Client; event: string }> => {
    database = await installed(major, 'delivering');
    const sql = await database.connect();
    const event = await emit(sql);
    await runWorker(sql);
    return { sql, event };
  };
  /** Checks that fail while the sabotage holds, which is rolled back. */
  const failing = async (sql: pg.Client, path: string, sabotage: string): Promise<string[]> => {
    await sql.query('begin; set local search_path = public, pg_temp');
    try {
      await sql.query(sabotage.replace(':db', database.name));
      const results = (await sql.query(textOf(path))) as unknown as pg.QueryResult | pg.QueryResult[];
      return [results]
        .flat()
        .flatMap((result) => result.rows as { check_id?: string; verdict?: string }[])
        .filter((row) => row.verdict === 'fail')
        .map((row) => row.check_id?.split(' ')[0] ?? '');
    } finally {
      await sql.query('rollback');
    }
  };

  test('each mandatory gate of delivery-seam can say no, and none does where all is well', async () => {
    const { sql, event } = await delivering();
    expect(verdicts(await readChecks(sql, SEAM_GATES)).filter((line) => !line.endsWith('pass'))).toEqual([]);
    for (const [id, what, sabotage] of SEAM_SAYS_NO) {
      const text = typeof sabotage === 'string' ? sabotage : sabotage(event);
      expect(await failing(sql, SEAM_GATES, text), `${id}: ${what}`).toContain(id);
    }
  });

  test('without a worker S1 fails and what would ask it is not run', async () => {
    database = await installed(major, 'outbox');
    const sql = await database.connect();
    expect(verdicts(await readChecks(sql, SEAM_GATES))).toEqual([
      'S1 fail',
      ...[2, 3, 4, 5, 6, 7].map((number) => `S${number} not_run`),
      'S8 pass',
      'S9 not_run',
    ]);
  });

  test('each gate of delivery-live can say no, and none does where all is well', async () => {
    const { sql, event } = await delivering();
    await allow(sql, 'report', 'daily');
    expect(verdicts(await readChecks(sql, LIVE_GATES)).filter((line) => !line.endsWith('pass'))).toEqual([]);
    for (const [id, what, sabotage] of LIVE_SAYS_NO) {
      const text = typeof sabotage === 'string' ? sabotage : sabotage(event);
      expect(await failing(sql, LIVE_GATES, text), `${id}: ${what}`).toContain(id);
    }
  });

  test('without the seam the first two of delivery-live fail and the others are not run', async () => {
    database = await installed(major, 'live');
    const sql = await database.connect();
    const seen = verdicts(await readChecks(sql, LIVE_GATES));
    expect(seen.slice(0, 2)).toEqual(['B1 fail', 'B2 fail']);
    expect(new Set(seen.slice(2).map((line) => line.split(' ')[1]))).toEqual(new Set(['not_run']));
    expect(verdicts(await readChecks(sql, EVIDENCE))).toEqual(['Q1 fail', 'Q2 fail', 'Q3 fail']);
  });

  test('each check of delivery at rest can say no', async () => {
    const { sql } = await delivering();
    expect(verdicts(await readChecks(sql, AT_REST_FILE)).filter((line) => !line.endsWith('pass'))).toEqual(
      [],
    );
    const says: readonly (readonly [string, string])[] = [
      ['A1', 'grant execute on function fn_iu_route_delivery_claim to public'],
      ['A1', 'alter function fn_iu_route_delivery_settle reset search_path'],
      ['A2', 'alter table iu_outbound_route disable trigger trg_iu_outbound_route_safe_guard'],
      ['A3', setting('delivery_enabled', 'true')],
      ['A3', setting('route_worker_enabled', 'false')],
      ['A4', setting('delivery_live_routes', 'iu_version_applied')],
      [
        'A5',
        `${setting('delivery_live_routes', 'iu_version_applied')}; update iu_outbound_route set dry_run = false`,
      ],
      [
        'A6',
        `create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb) returns jsonb language sql as $$ select '{}'::jsonb $$`,
      ],
      ['A7', QUEUED],
      ['A7', LEASED],
      ['A8', LETTER],
      ['A8', RESTS],
      ['A9', SILENT],
    ];
    for (const [id, sabotage] of says)
      expect(await failing(sql, AT_REST_FILE, sabotage), `${id}: ${sabotage}`).toContain(id);
  });

  test('probe 050 leaves nothing, holds beside history, and cannot be committed', async () => {
    const { sql } = await delivering();
    await emit(sql);
    const { xid, checks } = await tryProbe(sql, 'sql/iu-core/sandbox/050_delivery_seam_probe.sql');
    expect(checks.filter((row) => row.verdict !== 'pass')).toEqual([]);
    expect(checks.map((row) => row.check_id.split(' ')[0])).toEqual(
      Array.from({ length: 15 }, (_, number) => `V${number}`),
    );
    const after = await readAfter(sql, 'sql/iu-core/sandbox/050_post_rollback.sql', xid);
    expect(after.map((row) => row.verdict)).toEqual(['pass', 'pass', 'pass']);
    expect(await sqlstateOf(applyFile(sql, 'sql/iu-core/sandbox/050_delivery_seam_probe.sql'))).toBe('SL005');
    expect(await state(sql)).toBe(AT_REST);
  });

  test('the probe’s checks fail where the seam does not do its work', async () => {
    const { sql } = await delivering();
    const probe = async (sabotage: string) => {
      const { checks } = await tryProbe(sql, 'sql/iu-core/sandbox/050_delivery_seam_probe.sql', async () => {
        await sql.query(sabotage);
      });
      return checks.filter((row) => row.verdict !== 'pass').map((row) => row.check_id.split(' ')[0]);
    };
    expect(
      await probe('alter table iu_outbound_route disable trigger trg_iu_outbound_route_safe_guard'),
    ).toContain('V3');
    expect(
      await probe(
        `create or replace function fn_iu_delivery_is_queued(p_target_kind text) returns boolean language sql stable
         set search_path = public, pg_temp as $$ select false $$`,
      ),
    ).toEqual(expect.arrayContaining(['V5', 'V6', 'V9']));
    expect(
      await probe(
        `create or replace function fn_iu_delivery_function_fault(p_target_ref text) returns text language sql stable
         set search_path = public, pg_temp as $$ select null::text $$`,
      ),
    ).toContain('V8');
  });

  describe('the transaction of the one delivery', () => {
    const ready = async (kind: string, ref: string) => {
      const { sql } = await delivering();
      if (kind === 'sql_function') await targetFunction(sql);
      await allow(sql, kind, ref);
      return sql;
    };
    const one = (sql: pg.Client) => applyFile(sql, runtime('130_delivery_live_one'));

    test('routes one event live and no other, behind those that the route does not take', async () => {
      const sql = await ready('report', 'daily');
      await sql.query(
        `update iu_outbound_route set event_filter = '$.wanted' where route_code = 'iu_version_applied'`,
      );
      await emit(sql, { wanted: false });
      await emit(sql, {}, 'something_else');
      const wanted = await emit(sql, { wanted: true });
      await emit(sql, { wanted: true });
      await applyFile(sql, runtime('120_delivery_live_rest'));
      await settled(sql);
      await one(sql);
      expect(await ask(sql, 'select array_agg(event_id::text) as answer from iu_route_delivery')).toEqual([
        wanted,
      ]);
      expect(await state(sql)).toBe(`gate true, list 'iu_version_applied', live, rests`);
      expect(await runWorker(sql)).toMatchObject({ status: 'paused', seen: 0 });
      expect(await sqlstateOf(one(sql))).toBe('SL008');

      await applyFile(sql, rollback('130_delivery_live_one'));
      await applyFile(sql, runtime('180_delivery_recall'));
      await applyFile(sql, rollback('120_delivery_live_rest'));
      expect(await state(sql)).toBe(`gate false, list 'iu_version_applied', dry run, at work`);
      expect(await ledger(sql)).toMatchObject({ queued: 0, backlog: 1, dry_run: 2 });
      expect(await runWorker(sql)).toMatchObject({ seen: 1, attempts_written: 1 });
    });

    test('is not begun without an event, with the cursor at work, or with the list changed', async () => {
      const sql = await ready('report', 'daily');
      expect(await sqlstateOf(one(sql))).toBe('SL008');
      await applyFile(sql, runtime('120_delivery_live_rest'));
      expect(await sqlstateOf(applyFile(sql, runtime('120_delivery_live_rest')))).toBe('SL008');
      expect(await sqlstateOf(one(sql))).toBe('SL008');
      await emit(sql);
      await settled(sql);
      for (const sabotage of [
        setting('delivery_live_routes', ''),
        setting('delivery_live_routes', 'iu_version_applied, other'),
        setting('delivery_enabled', 'true'),
        `update iu_outbound_route set enabled = false`,
        OUT_OF_DRY_RUN,
        QUEUED,
      ]) {
        await sql.query('begin; set local search_path = public, pg_temp');
        await sql.query(sabotage);
        expect(await sqlstateOf(sql.query(textOf(runtime('130_delivery_live_one')))), sabotage).toBe('SL008');
        await sql.query('rollback');
      }
      expect(await ledger(sql)).toMatchObject({ queued: 0, backlog: 1 });
      await one(sql);
      expect(await ledger(sql)).toMatchObject({ queued: 1, backlog: 0 });
    });

    test('waits for the high-water mark instead of routing another event', async () => {
      const sql = await ready('report', 'daily');
      await applyFile(sql, runtime('120_delivery_live_rest'));
      const other = await database.connect();
      await other.query('begin; select pg_current_xact_id()');
      await emit(sql);
      expect(await sqlstateOf(one(sql))).toBe('55P03');
      await other.query('commit');
      await settled(sql);
      await one(sql);
      expect(await ledger(sql)).toMatchObject({ queued: 1, backlog: 0 });
    });

    test('calls a function at once; one that raises, skips or is slow to answer leaves no trace', async () => {
      const sql = await ready('sql_function', 'app.receive');
      await emit(sql);
      await applyFile(sql, runtime('120_delivery_live_rest'));
      await settled(sql);
      for (const answer of [
        `jsonb_build_object('status', 'failed')`,
        `jsonb_build_object('status', 'skipped')`,
        `(select jsonb_build_object('x', 1 / 0))`,
      ]) {
        await targetFunction(sql, answer);
        expect(await sqlstateOf(one(sql)), answer).toBe('SL008');
        expect(await ledger(sql)).toEqual({ dry_run: 1, queued: 0, letters: 0, backlog: 1 });
        expect(await received(sql)).toBe(0);
      }
      await targetFunction(sql);
      await one(sql);
      expect(await ledger(sql)).toEqual({ dry_run: 1, sent: 1, queued: 0, letters: 0, backlog: 0 });
      expect(await received(sql)).toBe(1);
    });
  });

  test('each check of what was delivered can say no, and probe 060 fails where a stop does not stop', async () => {
    const { sql } = await delivering();
    await allow(sql, 'sql_function', await targetFunction(sql));
    await applyFile(sql, runtime('120_delivery_live_rest'));
    const delivered = await emit(sql);
    await settled(sql);
    await applyFile(sql, runtime('130_delivery_live_one'));
    const again = (attempt: number, status: string) =>
      `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered, failure_code)
       values ('${delivered}:iu_version_applied:iu_outbound_default', ${attempt}, '${delivered}', 'iu_version_applied',
         'iu_outbound_default', '${status}', '${status}', ${status === 'sent'}, ${status === 'failed' ? "'x'" : 'null'})`;
    const says = async (path: string, table: readonly (readonly [string, string])[]) => {
      expect(
        (await readChecks(sql, path)).filter(({ verdict }) => verdict !== 'pass'),
        path,
      ).toEqual([]);
      for (const [id, sabotage] of table)
        expect(await failing(sql, path, sabotage), `${id}: ${sabotage}`).toContain(id);
    };
    await says('macros/delivery-live/checks/delivered.sql', [
      ['C1', again(2, 'sent')],
      ['C1', setting('delivery_live_routes', 'other')],
      ['C2', again(2, 'failed')],
      ['C2', again(2, 'skipped')],
      ['C3', QUEUED],
      ['C4', LETTER],
      ['C5', SILENT],
      ['C6', 'update iu_route_worker_cursor set paused_because = null'],
    ]);
    await says('macros/durable-live-route/checks/delivering.sql', [
      ['U1', setting('delivery_live_routes', 'other')],
      ['U2', again(2, 'sent')],
      ['U3', again(2, 'blocked')],
      ['U3', LETTER],
      ['U4', LETTER],
      ['U5', SILENT],
    ]);
    await says(EVIDENCE, [
      ['Q1', setting('delivery_live_routes', 'other')],
      ['Q2', `update iu_outbound_route set target_ref = 'app.another'`],
      ['Q3', again(2, 'failed')],
    ]);
    expect((await readChecks(sql, 'macros/delivery-live/checks/event-at-hand.sql'))[0]?.verdict).toBe(
      'inconclusive',
    );
    expect(await sqlstateOf(readChecks(sql, 'macros/delivery-live/checks/nothing-under-way.sql'))).toBe(
      'SL008',
    );

    const probe = async (sabotage: string) => {
      const { checks } = await tryProbe(sql, 'sql/iu-core/sandbox/060_delivery_live_probe.sql', async () => {
        await sql.query(sabotage);
      });
      return checks.filter((row) => row.verdict !== 'pass').map((row) => row.check_id.split(' ')[0]);
    };
    const { xid, checks } = await tryProbe(sql, 'sql/iu-core/sandbox/060_delivery_live_probe.sql');
    expect(verdicts(checks)).toEqual(Array.from({ length: 9 }, (_, number) => `K${number} pass`));
    const after = await readAfter(sql, 'sql/iu-core/sandbox/050_post_rollback.sql', xid);
    expect(after.map((row) => row.verdict)).toEqual(['pass', 'pass', 'pass']);
    expect(await received(sql)).toBe(1);
    expect(await probe('update iu_outbound_route set dry_run = true')).toEqual(['K0']);
    expect(
      await probe(
        `alter table iu_route_attempt disable trigger user;
         update iu_route_attempt
         set worker_code = 'x', idempotency_key = event_id::text || ':iu_version_applied:x'
         where status = 'sent'`,
      ),
    ).toContain('K1');
    expect(
      await probe(
        `create or replace function fn_iu_delivery_rival(p_route_code text, p_event_id uuid, p_request jsonb) returns text
         language sql set search_path = public, pg_temp as $$ select null::text $$`,
      ),
    ).toContain('K2');
    expect(
      await probe(
        `create or replace function fn_iu_delivery_open(p_route_code text) returns boolean language sql stable
         set search_path = public, pg_temp as $$ select true $$`,
      ),
    ).toEqual(['K3', 'K4']);
    expect(
      await probe(
        `create or replace function fn_iu_gate_open(p_key text) returns boolean language sql stable
         set search_path = public, pg_temp as $$ select true $$`,
      ),
    ).toEqual(expect.arrayContaining(['K3', 'K6', 'K7', 'K8']));

    await applyFile(sql, runtime('140_delivery_close'));
    await says('macros/delivery-live/checks/one-more.sql', [
      ['H1', again(2, 'sent')],
      ['H2', again(2, 'blocked')],
    ]);
    await says('macros/durable-live-route/checks/delivered-in-all.sql', [['H3', again(2, 'blocked')]]);
    await says('macros/delivery-live/checks/nothing-under-way.sql', []);
    await says(AT_REST_FILE, []);
  });

  test('what is under way is waited for before the rest is recalled', async () => {
    const { sql } = await delivering();
    await sql.query(QUEUED);
    await sql.query(LEASED);
    await sql.query('update iu_route_delivery set lease_token = (select lease_token from iu_route_lease)');
    expect(await sqlstateOf(applyFile(sql, runtime('180_delivery_recall')))).toBe('55P03');
    await sql.query(`update iu_route_lease set leased_until = now() - interval '1 second'`);
    await applyFile(sql, runtime('180_delivery_recall'));
    expect(await ledger(sql)).toMatchObject({ queued: 0, dry_run: 2 });
  });

  test('the list comes back as it was, unless somebody has allowed another route since', async () => {
    const { sql } = await delivering();
    await allow(sql, 'report', 'daily');
    await applyFile(sql, runtime('140_delivery_close'));
    expect(await state(sql)).toBe(AT_REST);
    await applyFile(sql, rollback('140_delivery_close'));
    expect(await state(sql)).toBe(`gate false, list 'iu_version_applied', dry run, at work`);
    await applyFile(sql, runtime('140_delivery_close'));
    await sql.query(setting('delivery_live_routes', 'other'));
    await applyFile(sql, rollback('140_delivery_close'));
    expect(await state(sql)).toBe(`gate false, list 'other', dry run, at work`);
  });
});
