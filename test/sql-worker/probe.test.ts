import { afterEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { type CheckRow, readAfter, textOf, tryProbe, verdicts } from './support/run-file.ts';
import { ask, emit, runNow, runWorker, settled, sqlstateOf } from './support/worker.ts';

const PROBE = 'sql/iu-core/sandbox/040_worker_live_dryrun_probe.sql';
const AFTER = 'sql/iu-core/sandbox/040_post_rollback.sql';
const FIGURES: Readonly<Record<string, string>> = {
  P1: 'worker_gate_closed; seen=0, attempts_written=0',
  P2: 'seen=1, attempts_written=1; status=dry_run, decision=dry_run, delivered=false',
  P3: 'second run: seen=0, attempts still 1',
  P4: 'cursor reset, claimed again: seen=1, attempts still 1',
  P5: 'worker_gate_open=true, master_gate_open=true, attempts_in_audit=1, dead_letter_open=0, healthy=true',
  P6: 'iu_outbound_route_safe_chk dropped, dry_run=false, fresh worker: dead_lettered=1, failed_attempts=1, delivered_sent=0, failure_code=worker_process_error',
  P7: 'dry_run=false: decision=failed, resolved=false, attempt_no=2; dry_run=true: decision=dry_run, resolved=true, attempt_no=3',
  P8: 'master_gate_closed; seen=0, attempts_written=0',
  P9: 'iu_events 1 / attempts 4 / dead_letters 1',
};
const ALL_PASS = ['P0', ...Object.keys(FIGURES)].map((id) => `${id} pass`);

function figures(checks: readonly CheckRow[]): Record<string, string> {
  return Object.fromEntries(
    checks.filter(({ check_id }) => check_id !== 'P0').map((row) => [row.check_id, row.detail]),
  );
}

describe.each([15, 18] as const)('probe 040 on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  afterEach(async () => {
    await database.drop();
  });

  test('on a fresh install each figure is the one of the table, and nothing is left', async () => {
    database = await installed(major, 'live');
    const client = await database.connect();
    const { xid, checks } = await tryProbe(client, PROBE);
    expect(verdicts(checks)).toEqual(ALL_PASS);
    expect(figures(checks)).toEqual(FIGURES);
    expect(checks[0]?.detail).toBe('iu_events 0 / attempts 0 / dead_letters 0');

    const after = await readAfter(client, AFTER, xid);
    expect(verdicts(after)).toEqual(['POST-ROLLBACK pass', 'POST-ROLLBACK pass', 'POST-ROLLBACK pass']);
    expect(after[0]?.detail).toBe(
      `transaction ${xid} is aborted; left of it: iu_events 0 / attempts 0 / dead_letters 0; in the tables: 0 / 0 / 0`,
    );
    expect(after[1]?.detail).toBe('master gate true, worker gate true');
  });

  test('on a database with history, an open dead letter and a second route the figures are the same', async () => {
    database = await installed(major, 'live');
    const client = await database.connect();
    await client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, event_filter, target_kind, target_ref, enabled)
       values ('strict', 'iu', 'version_applied', 'strict $.must_be_there', 'report', 'x', true)`,
    );
    for (let n = 0; n < 5; n += 1) await emit(client, n === 0 ? {} : { must_be_there: true });
    expect(await runWorker(client)).toMatchObject({ seen: 5, dead_lettered: 1 });
    await emit(client, { must_be_there: false });

    const { checks } = await tryProbe(client, PROBE);
    expect(verdicts(checks)).toEqual(ALL_PASS);
    expect(figures(checks)).toEqual(FIGURES);
    expect(checks[0]?.detail).toBe(
      'iu_events 0 / attempts 0 / dead_letters 0 (history before it: 6 / 10 / 1)',
    );
    expect(await runWorker(client)).toMatchObject({ seen: 1 });
  });

  test('beside a writer that is in the middle of a transaction, and one that commits meanwhile, they are the same', async () => {
    database = await installed(major, 'live');
    const [client, slow, quick] = await Promise.all([
      database.connect(),
      database.connect(),
      database.connect(),
    ]);
    await slow.query('begin');
    await emit(slow);
    const { checks } = await tryProbe(client, PROBE, async () => {
      await emit(quick);
    });
    await slow.query('commit');
    expect(verdicts(checks)).toEqual(ALL_PASS);
    expect(figures(checks)).toEqual(FIGURES);
    expect(await runWorker(client)).toMatchObject({ seen: 2, attempts_written: 2 });
  });

  test('a drain finds the worker busy while the probe holds the cursor, and goes on after it', async () => {
    database = await installed(major, 'live');
    const [client, drain] = await Promise.all([database.connect(), database.connect()]);
    await emit(drain);
    await client.query('begin isolation level repeatable read');
    await client.query('set local search_path = public, pg_temp');
    await client.query(textOf(PROBE));
    expect(await runWorker(drain)).toMatchObject({ status: 'busy', seen: 0 });
    await client.query('rollback');
    expect(await runWorker(drain)).toMatchObject({ status: 'ran', seen: 1 });
  });

  test('a drain that moved the cursor after the snapshot makes the probe fail as one to be tried again', async () => {
    database = await installed(major, 'live');
    const [client, drain] = await Promise.all([database.connect(), database.connect()]);
    await emit(drain);
    await settled(drain);
    const probed = tryProbe(client, PROBE, async () => {
      expect(await runNow(drain)).toMatchObject({ seen: 1 });
    });
    expect(await sqlstateOf(probed)).toBe('40001');
    expect(verdicts((await tryProbe(client, PROBE)).checks)).toEqual(ALL_PASS);
  });

  test('a drain that holds the cursor makes it wait for lock_timeout and no longer', async () => {
    database = await installed(major, 'live');
    const [client, drain] = await Promise.all([database.connect(), database.connect()]);
    await drain.query('begin');
    await runWorker(drain);
    expect(await sqlstateOf(tryProbe(client, PROBE))).toBe('55P03');
    await drain.query('rollback');
  });

  test('it is never committed', async () => {
    database = await installed(major, 'live');
    const client = await database.connect();
    await client.query('begin isolation level repeatable read');
    await client.query('set local search_path = public, pg_temp');
    await client.query(textOf(PROBE));
    expect(await sqlstateOf(client.query('commit'))).toBe('SL005');
    expect(await ask(client, 'select count(*)::int as answer from event_outbox')).toBe(0);
    expect(await ask(client, 'select count(*)::int as answer from iu_probe_marker')).toBe(0);
  });

  test('session_replication_role does not let it be committed, and the marker cannot be taken away', async () => {
    database = await installed(major, 'live');
    const client = await database.connect();
    await client.query('begin');
    await client.query('set local session_replication_role = replica');
    await client.query('select fn_iu_probe_begin()');
    expect(await sqlstateOf(client.query('commit'))).toBe('SL005');
    await client.query('begin');
    await client.query('select fn_iu_probe_begin()');
    expect(await sqlstateOf(client.query('delete from iu_probe_marker'))).toBe('SL004');
    await client.query('rollback');
  });

  test('statement by statement outside a transaction it stops at the first, and every later one refuses', async () => {
    database = await installed(major, 'live');
    const client = await database.connect();
    const statements = textOf(PROBE)
      .split(/^\$\$;$/m)
      .slice(0, -1)
      .map((text) => `${text}$$;`);
    expect(statements).toHaveLength(12);
    const states = [];
    for (const statement of statements) states.push(await sqlstateOf(client.query(statement)));
    expect(states).toEqual(statements.map(() => 'SL005'));
    expect(await ask(client, 'select count(*)::int as answer from event_outbox')).toBe(0);
    expect(await ask(client, `select fn_iu_gate_open('iu_core.outbound_enabled') as answer`)).toBe(true);
  });

  test.each([
    [
      'the seam is built',
      'P6',
      `create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
        returns jsonb language sql set search_path = public, pg_temp as $$ select '{"status": "sent", "delivered": true}'::jsonb $$`,
    ],
    [
      'the guard of the routes is gone',
      'P6',
      'alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk',
    ],
    ['no route takes the event', 'P2', 'update iu_outbound_route set enabled = false'],
    [
      'the emitter writes twice',
      'P9',
      `create function again() returns trigger language plpgsql as $$ begin
        if pg_trigger_depth() = 1 then insert into event_outbox (event_domain, event_type, payload, actor) values ('iu', 'other', '{}', 'x'); end if; return null; end $$;
        create trigger again after insert on event_outbox for each row execute function again()`,
    ],
  ])('it fails where %s', async (_, check, fault) => {
    database = await installed(major, 'live');
    const client = await database.connect();
    await client.query(fault);
    const { checks } = await tryProbe(client, PROBE);
    expect(verdicts(checks)).toContain(`${check} fail`);
  });

  test('the proof that it is gone fails for a transaction that committed, and is not_run for none', async () => {
    database = await installed(major, 'live');
    const client = await database.connect();
    const id = await emit(client);
    const xid = await ask<string>(client, 'select xact_id::text as answer from event_outbox where id = $1', [
      id,
    ]);
    expect(verdicts(await readAfter(client, AFTER, xid))[0]).toBe('POST-ROLLBACK fail');
    expect(verdicts(await readAfter(client, AFTER, ''))[0]).toBe('POST-ROLLBACK not_run');
    await client.query(`update dot_config set value = 'false' where key = 'iu_core.outbound_enabled'`);
    await client.query('alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk');
    expect(verdicts(await readAfter(client, AFTER, xid)).slice(1)).toEqual([
      'POST-ROLLBACK fail',
      'POST-ROLLBACK fail',
    ]);
  });
});
