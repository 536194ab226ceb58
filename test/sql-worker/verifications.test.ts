import type pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { installed } from './support/installed.ts';
import { readChecks, textOf, verdicts } from './support/run-file.ts';
import { emit, runWorker } from './support/worker.ts';

const INERT = 'sql/iu-core/runtime/070_route_worker_verification.sql';
const LIVE = 'sql/iu-core/runtime/100_route_worker_live_verification.sql';
const INSTALL_GATES = 'macros/event-worker/checks/mandatory-gates.sql';
const LIVE_GATES = 'macros/worker-live-dry-run/checks/mandatory-gates.sql';
const FINAL = 'macros/worker-live-dry-run/checks/final-verification.sql';

const ids = (letter: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => `${letter}${from + at}`);
const passing = (names: readonly string[]) => names.map((name) => `${name} pass`);

const GONE_GUARD = 'alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk';
const BUILT_SEAM = `create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
  returns jsonb language sql set search_path = public, pg_temp as $$ select '{}'::jsonb $$`;
const SHUT = (key: string) => `update dot_config set value = 'false' where key = '${key}'`;
const LETTER = `insert into iu_route_dead_letter
  (idempotency_key, event_id, worker_code, event, last_attempt, failure_code, fingerprint)
  values ('k', gen_random_uuid(), 'w', '{}', '{}', 'x', 'x')`;
const LOST = `insert into event_outbox (event_domain, event_type, payload, actor) values ('iu', 'lost', '{}', 'x');
  update iu_route_worker_cursor
  set cursor_epoch = 1, cursor_xact_id = pg_current_xact_id(), cursor_created_at = 'infinity', cursor_event_id = gen_random_uuid()`;

interface Case {
  readonly file: string;
  readonly level: 'inert' | 'live';
  readonly all: readonly string[];
  /** Check, the fault that it must find, and a part of what it says. */
  readonly faults: [check: string, fault: string, told: string][];
}

/** Per file: what a sound database says, and for each check a fault that makes that check fail. */
const CASES: Case[] = [
  {
    file: INERT,
    level: 'inert',
    all: ids('W', 1, 9),
    faults: [
      ['W1', 'alter table iu_probe_marker enable trigger trg_iu_probe_refuse_commit', 'could be committed'],
      ['W1', 'alter table iu_probe_marker disable trigger trg_iu_probe_refuse_commit', 'could be committed'],
      ['W2', 'alter function fn_iu_conservation() reset search_path', 'not pinned'],
      ['W2', 'grant execute on function fn_iu_conservation() to public', 'PUBLIC'],
      ['W3', 'drop view v_iu_event_backlog', 'v_iu_event_backlog'],
      [
        'W4',
        `update dot_config set value = 'true' where key = 'iu_core.route_worker_enabled'`,
        'was expected',
      ],
      ['W4', `delete from dot_config where key = 'iu_core.route_worker_enabled'`, 'missing'],
      ['W5', 'delete from iu_route_worker_cursor', 'not registered'],
      ['W5', 'update iu_route_worker_cursor set system_identifier = 1', 'another cluster'],
      ['W5', LOST, 'no attempt says why'],
      ['W6', GONE_GUARD, 'none'],
      ['W7', BUILT_SEAM, 'must raise'],
      ['W8', 'alter table event_outbox enable trigger trg_iu_outbox_append_only', 'does not fire always'],
      ['W8', 'grant update on iu_route_attempt to iu_core_worker', 'iu_core_worker may change'],
      [
        'W9',
        `create or replace function fn_iu_route_worker_run(p_cursor_code text, p_limit integer) returns jsonb
         language sql set search_path = public, pg_temp as $$ select '{"status": "ran", "seen": 1}'::jsonb $$`,
        'answers ran',
      ],
    ],
  },
  {
    file: LIVE,
    level: 'live',
    all: ids('L', 1, 9),
    faults: [
      ['L1', SHUT('iu_core.route_worker_enabled'), "'false'"],
      ['L2', SHUT('iu_core.outbound_enabled'), "'false'"],
      ['L2', `delete from dot_config where key = 'iu_core.outbound_enabled'`, 'missing'],
      ['L3', `update iu_outbound_route set enabled = false`, 'disabled'],
      ['L3', `${GONE_GUARD}; update iu_outbound_route set dry_run = false`, 'live'],
      ['L3', 'delete from iu_outbound_route', 'missing'],
      ['L4', GONE_GUARD, 'no guard'],
      ['L5', BUILT_SEAM, 'must raise'],
      ['L6', `update iu_route_worker_cursor set last_run_at = null, last_run_summary = null`, 'no run'],
      ['L6', LOST, 'no attempt says why'],
      ['L7', LETTER, 'open dead letters'],
      [
        'L7',
        `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, worker_code, decision, status)
         select id::text || ':-:w', 1, id, 'w', 'no_route', 'skipped' from gen_random_uuid() as id`,
        'balanced=false',
      ],
      ['L8', LETTER, 'healthy=false'],
      ['L8', SHUT('iu_core.route_worker_enabled'), 'worker_gate_open=false'],
      [
        'L9',
        `insert into event_outbox (event_domain, event_type, payload, actor) values ('iu', 'x', '{}', 'x');
         update iu_route_worker_cursor set last_run_at = clock_timestamp(),
           last_run_summary = last_run_summary || '{"horizon": "999999999999"}'`,
        'left 1 behind',
      ],
    ],
  },
  {
    file: INSTALL_GATES,
    level: 'inert',
    all: ids('G', 1, 8),
    faults: [
      ['G1', 'alter table iu_route_attempt rename to moved', 'iu_route_attempt'],
      [
        'G2',
        'grant execute on function fn_iu_emit_event(text, text, text, uuid, jsonb, text) to public',
        'PUBLIC',
      ],
      ['G2', 'drop function fn_iu_emit_event(text, text, text, uuid, jsonb, text)', 'missing'],
      ['G3', SHUT('iu_core.outbound_enabled'), "'false'"],
      ['G3', 'alter table dot_config rename to moved', 'missing'],
      ['G4', GONE_GUARD, 'guards of the routes: 0'],
      ['G5', 'update iu_outbound_route set enabled = false', 'enabled'],
      ['G6', 'alter table event_outbox enable trigger trg_iu_outbox_stamp', 'trg_iu_outbox_stamp'],
      ['G7', `create role no_rights_here; set local role no_rights_here`, 'may create in public: false'],
      ['G8', 'alter table iu_route_worker_cursor rename to moved', 'functions installed: true'],
      [
        'G8',
        `insert into dot_config (key, value) values ('iu_core.delivery_enabled', 'true')`,
        'delivery gate: true',
      ],
      ['G8', LETTER, 'open dead letters: 1'],
    ],
  },
  {
    file: LIVE_GATES,
    level: 'inert',
    all: ids('M', 1, 6),
    faults: [
      ['M1', 'drop function fn_iu_conservation()', 'missing'],
      ['M2', SHUT('iu_core.outbound_enabled'), 'master gate open: false'],
      ['M2', `delete from dot_config where key = 'iu_core.route_worker_enabled'`, 'missing'],
      ['M3', GONE_GUARD, 'guards of the routes: 0'],
      ['M4', BUILT_SEAM, 'unbuilt: false'],
      [
        'M4',
        `insert into dot_config (key, value) values ('iu_core.delivery_enabled', 'true')`,
        'delivery gate open: true',
      ],
      ['M5', LETTER, 'open dead letters: 1'],
      ['M6', LOST, 'balanced: false'],
    ],
  },
  {
    file: FINAL,
    level: 'live',
    all: ids('F', 1, 6),
    faults: [
      ['F1', LOST, 'without attempt ["'],
      ['F2', LETTER, 'healthy=false'],
      ['F3', SHUT('iu_core.outbound_enabled'), 'master gate open: false'],
      [
        'F4',
        `alter table iu_route_attempt drop constraint delivered_implies_sent;
         insert into iu_route_attempt (idempotency_key, attempt_no, event_id, worker_code, decision, status, delivered)
         select id::text || ':-:w', 1, id, 'w', 'no_route', 'skipped', true from gen_random_uuid() as id`,
        '1 no_route',
      ],
      ['F5', `${GONE_GUARD}; update iu_outbound_route set dry_run = false`, '1 of them live'],
      ['F6', LETTER, '1 open'],
    ],
  },
];

describe.each([15, 18] as const)('on PostgreSQL %i', (major) => {
  describe.each(CASES)('$file', ({ file, level, all, faults }) => {
    let client: pg.Client;
    beforeAll(async () => {
      client = await (await installed(major, level)).connect();
    });

    test('passes on a sound database, every check of it', async () => {
      const checks = await readChecks(client, file);
      expect(verdicts(checks), JSON.stringify(checks, null, 1)).toEqual(passing(all));
    });

    test('each check has a fault below that it must find', () => {
      expect([...new Set(faults.map(([check]) => check))].sort()).toEqual([...all].sort());
    });

    test.each(faults)('%s fails after: %s', async (check, fault, told) => {
      await client.query('begin');
      await client.query('set local search_path = public, pg_temp');
      const asked = client.query(fault).then(() => client.query(textOf(file)));
      const answered = (await asked.finally(() => client.query('rollback'))) as unknown as pg.QueryResult[];
      const rows = [answered].flat().flatMap((result) => result.rows);
      const row = rows.find(({ check_id }) => check_id.split(' ')[0] === check);
      expect(row, check).toMatchObject({ verdict: 'fail', detail: expect.stringContaining(told) });
    });
  });

  test('with history the live verification accepts it and says so, and the inert one too', async () => {
    const client = await (await installed(major, 'live')).connect();
    await emit(client);
    await emit(client, {}, 'nobody_wants_it');
    await runWorker(client);
    const live = await readChecks(client, LIVE);
    expect(verdicts(live)).toEqual(passing(ids('L', 1, 9)));
    expect(live.find(({ check_id }) => check_id === 'L6 first run')?.detail).toContain(
      'after 2 attempts: history, accepted',
    );
    expect(live.find(({ check_id }) => check_id === 'L7 audit')?.detail).toBe(
      '2/0: history, accepted: conservation balanced, no open dead letter, 0 sent',
    );
    const inert = await readChecks(client, INERT);
    expect(verdicts(inert)).toEqual(passing(ids('W', 1, 9)));
    expect(inert.find(({ check_id }) => check_id === 'W4 worker gate')?.detail).toContain(
      'history, accepted',
    );
  });

  test('events that came after the last run do not make the live verification fail', async () => {
    const database = await installed(major, 'live');
    const [client, slow] = await Promise.all([database.connect(), database.connect()]);
    await slow.query('begin');
    await emit(slow);
    await runWorker(client);
    await slow.query('commit');
    await emit(client);
    const live = await readChecks(client, LIVE);
    expect(verdicts(live)).toEqual(passing(ids('L', 1, 9)));
    expect(live.at(-1)?.detail).toBe(
      'backlog 2: events since the last run, or beyond its limit; it left none behind',
    );
    expect(await runWorker(client)).toMatchObject({ seen: 2 });
  });
});
