import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { createDatabase } from '../support/create-database.ts';
import { runCli } from '../support/run-cli.ts';
import { BASE_FILES, installed, WORKER_FILES } from './support/installed.ts';
import { applyFile, readChecks } from './support/run-file.ts';
import { ask, emit, runWorker, sqlstateOf, until } from './support/worker.ts';

const level = (name: string) => `sql/iu-core/runtime/disable/${name}.sql`;
const LEVELS = ['l0_worker_gate', 'l0_wait', 'l1_master_gate', 'l2_routes', 'l3_triggers'];
const BACK = ['l3_triggers_back', 'l2_routes_back', 'l1_master_gate_back', 'l0_worker_gate_back'];

describe.each([15, 18] as const)('the disable runbook on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
    await client.query(`select fn_iu_create_unit('a.md#b', 'B', 'one', 'me')`);
  });
  afterEach(async () => {
    await database.drop();
  });
  const edit = (text: string) => client.query(`select fn_iu_add_version('a.md#b', $1, 'an editor')`, [text]);
  const events = () => ask<number>(client, 'select count(*)::int as answer from event_outbox');
  const triggers = () =>
    ask<string[]>(
      client,
      `select array_agg(distinct tgname || ' ' || tgenabled::text) as answer
       from pg_trigger where not tgisinternal and starts_with(tgname, 'trg_iu_out')`,
    );
  const gates = () =>
    ask<string>(
      client,
      `select string_agg(value, ' ' order by key) as answer from dot_config
       where key in ('iu_core.outbound_enabled', 'iu_core.route_worker_enabled')`,
    );
  /** Everything that the runbook may touch. */
  const state = () =>
    ask<object>(
      client,
      `select jsonb_build_object(
         'config', (select jsonb_object_agg(key, value) from dot_config),
         'routes', (select jsonb_agg(jsonb_build_array(route_code, enabled, disabled_by) order by route_code)
                    from iu_outbound_route),
         'triggers', (select jsonb_agg(jsonb_build_array(tgrelid::regclass::text, tgname, tgenabled) order by 1)
                      from (select * from pg_trigger where not tgisinternal order by tgrelid, tgname) as t)
       ) as answer`,
    );
  /** `unit seq` of every event, in the order in which the worker takes them. */
  const told = () =>
    ask<string[] | null>(
      client,
      `select array_agg(event_subject || ' ' || (payload ->> 'version_seq') order by epoch, xact_id, created_at, id)
         as answer
       from event_outbox`,
    );

  test.each([
    ['l0_worker_gate', 'worker_gate_closed'],
    ['l1_master_gate', 'master_gate_closed'],
  ])('%s stops the worker, and its way back starts it again', async (name, status) => {
    await edit('two');
    await applyFile(client, level(name));
    expect(await runWorker(client)).toMatchObject({ status, seen: 0 });
    await applyFile(client, level(`${name}_back`));
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 1 });
  });

  test('runtime 080 is L0', async () => {
    await applyFile(client, 'sql/iu-core/runtime/080_route_worker_disable.sql');
    expect(await runWorker(client)).toMatchObject({ status: 'worker_gate_closed' });
  });

  test('L2 switches every enabled route off; its way back switches on those and no other', async () => {
    await client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled)
       values ('was_off', 'iu', 'x', 'report', 'x', false), ('was_on', 'iu', 'x', 'report', 'x', true)`,
    );
    const enabled = () =>
      ask<string[] | null>(
        client,
        'select array_agg(route_code order by route_code) filter (where enabled) as answer from iu_outbound_route',
      );
    await applyFile(client, level('l2_routes'));
    expect(await enabled()).toBe(null);
    await applyFile(client, level('l2_routes'));
    await applyFile(client, level('l2_routes_back'));
    expect(await enabled()).toEqual(['iu_version_applied', 'was_on']);
  });

  test('L3 finds the emitting triggers and no other; its way back writes the events that were missed', async () => {
    await edit('two');
    const before = await triggers();
    expect(before).toEqual([
      'trg_iu_out_version A',
      'trg_iu_outbox_append_only A',
      'trg_iu_outbox_no_truncate A',
      'trg_iu_outbox_stamp A',
    ]);
    await applyFile(client, level('l3_triggers'));
    await applyFile(client, level('l3_triggers'));
    expect(await triggers()).toEqual(['trg_iu_out_version D', ...before.slice(1)]);
    await edit('three');
    await edit('four');
    expect(await events()).toBe(1);
    expect(await ask(client, `select fn_iu_conservation() ->> 'balanced' as answer`)).toBe('false');

    await applyFile(client, level('l3_triggers_back'));
    expect(await triggers()).toEqual(before);
    expect(await events()).toBe(3);
    expect(await ask(client, `select fn_iu_conservation() ->> 'balanced' as answer`)).toBe('true');
    await edit('five');
    const { rows } = await client.query(
      `select event_type, event_subject, actor, payload - 'unit_id' - 'version_id' - 'content_sha256' as payload,
         payload ->> 'version_id' = subject_ref::text as refers
       from event_outbox order by (payload ->> 'version_seq')::int`,
    );
    expect(rows).toEqual(
      [2, 3, 4, 5].map((version_seq) => ({
        event_type: 'version_applied',
        event_subject: 'a.md#b',
        actor: 'an editor',
        payload: { unit_code: 'a.md#b', version_seq },
        refers: true,
      })),
    );
    expect(
      await ask(
        client,
        `select count(distinct array(select jsonb_object_keys(payload)))::int as answer from event_outbox`,
      ),
    ).toBe(1);
    await applyFile(client, level('l3_triggers_back'));
    expect(await events()).toBe(4);
  });

  test.each([
    ['L0', ['l0_worker_gate', 'l0_wait']],
    ['L1', ['l1_master_gate']],
    ['L2', ['l2_routes']],
    ['L3', ['l3_triggers']],
  ])('%s alone changes something, and its way back alone leaves everything as it was', async (_, names) => {
    const before = await state();
    for (const name of names) await applyFile(client, level(name));
    expect(await state()).not.toEqual(before);
    await applyFile(client, level(`${names[0]}_back`));
    expect(await state()).toEqual(before);
    await applyFile(client, level(`${names[0]}_back`));
    expect(await state()).toEqual(before);
  });

  test('L0 waits in its second transaction, and that reports a check', async () => {
    await applyFile(client, level('l0_worker_gate'));
    expect(await readChecks(client, level('l0_wait'))).toMatchObject([
      { check_id: 'L0 nothing runs', verdict: 'pass', detail: expect.stringMatching(/no run is left/) },
    ]);
    await applyFile(client, level('l0_worker_gate_back'));
    expect(await sqlstateOf(readChecks(client, level('l0_wait')))).toBe('SL008');
  });

  test('no gate is opened while L2 keeps routes off: a worker would find no route for their events', async () => {
    await edit('two');
    for (const name of LEVELS) await applyFile(client, level(name));
    for (const name of ['l1_master_gate_back', 'l0_worker_gate_back']) {
      await expect(applyFile(client, level(name))).rejects.toMatchObject({
        code: 'SL001',
        message: expect.stringMatching(/stays closed.*L2 still keeps routes off: iu_version_applied/),
      });
    }
    expect(await gates()).toBe('false false');
    await applyFile(client, level('l2_routes_back'));
    for (const name of ['l1_master_gate_back', 'l0_worker_gate_back']) await applyFile(client, level(name));
    expect(await gates()).toBe('true true');
    expect(await runWorker(client)).toMatchObject({ status: 'ran', attempts_written: 1 });
    expect(await ask(client, 'select min(decision) as answer from iu_route_attempt')).toBe('dry_run');
  });

  test('the command line refuses L0 while L2 is off, and names the level that is opened first', {
    timeout: 120_000,
  }, async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sluice-runbook-'));
    await writeFile(join(dir, 'sluice.yaml'), 'targets:\n  here:\n    url: { env: TARGET_URL }\n');
    const sluice = (verb: string, at: string) =>
      runCli(['outbox', verb, '--level', at, '--yes', '--actor', 'ana', '--reason', 'a test'], {
        cwd: dir,
        env: { TARGET_URL: database.url },
      });
    expect((await sluice('disable', 'L2')).exitCode).toBe(0);
    const refused = await sluice('enable', 'L0');
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toMatch(/L1 and L2 are still disabled[\s\S]*enable --level L2/);
    expect(await gates()).toBe('false false');
    for (const at of ['L2', 'L1', 'L0']) expect((await sluice('enable', at)).exitCode).toBe(0);
    expect(await gates()).toBe('true true');
    await rm(dir, { recursive: true });
  });

  test('L3 twice keeps what the first one found, and finds a trigger that came in between', async () => {
    const listed = () =>
      ask<{ trigger: string; fires: string; since: string }[]>(
        client,
        `select value::jsonb as answer from dot_config where key = 'iu_core.l3_triggers_off'`,
      );
    await applyFile(client, level('l3_triggers'));
    const once = await listed();
    expect(once).toMatchObject([{ trigger: 'trg_iu_out_version', fires: 'A' }]);
    await applyFile(client, level('l3_triggers'));
    expect(await listed()).toEqual(once);
    await client.query(
      `create trigger trg_iu_out_again after update on information_unit
         for each row execute function fn_iu_append_only()`,
    );
    await applyFile(client, level('l3_triggers'));
    expect(await listed()).toMatchObject([once[0] ?? {}, { trigger: 'trg_iu_out_again', fires: 'O' }]);
    await applyFile(client, level('l3_triggers_back'));
    expect(await triggers()).toEqual(expect.arrayContaining(['trg_iu_out_again O', 'trg_iu_out_version A']));
  });

  test.each([
    ['always', 'A'],
    ['', 'O'],
    ['replica', 'R'],
  ])('a trigger that was enabled %j fires so again after L3’s way back', async (how, fires) => {
    await client.query(`alter table unit_version enable ${how} trigger trg_iu_out_version`);
    await applyFile(client, level('l3_triggers'));
    await applyFile(client, level('l3_triggers_back'));
    expect(await triggers()).toContain(`trg_iu_out_version ${fires}`);
  });

  test('a trigger that an operator had off before L3 stays off, and its events are written all the same', async () => {
    await client.query('alter table unit_version disable trigger trg_iu_out_version');
    const before = await state();
    await applyFile(client, level('l3_triggers'));
    await edit('two');
    expect(await state()).toEqual(before);
    await applyFile(client, level('l3_triggers_back'));
    expect(await triggers()).toContain('trg_iu_out_version D');
    expect(await told()).toEqual(['a.md#b 2']);
  });

  test('missed events come in the order the versions were written, within a unit even where the clock was set back', async () => {
    await client.query(`select fn_iu_create_unit('c.md#d', 'D', 'one', 'me')`);
    const other = (text: string) => client.query(`select fn_iu_add_version('c.md#d', $1, 'me')`, [text]);
    await applyFile(client, level('l3_triggers'));
    await edit('two');
    await other('two');
    await edit('three');
    await client.query(
      `insert into unit_version (unit_id, body, created_by, created_at)
       select id, 'four', 'me', clock_timestamp() - interval '1 day' from information_unit where unit_code = 'a.md#b'`,
    );
    await other('three');
    await applyFile(client, level('l3_triggers_back'));
    expect(await told()).toEqual(['a.md#b 2', 'c.md#d 2', 'a.md#b 3', 'a.md#b 4', 'c.md#d 3']);
  });

  test('where retention has let events go, L3’s way back writes those missed since L3 and no event that was there', async () => {
    const retire = () =>
      client.query(
        `insert into iu_outbox_partition
           (upper_at, event_partition, attempt_partition, retired_at, events, attempts, first_decisions, retired_by, retired_because)
         select clock_timestamp(), 'e' || n, 'a' || n, clock_timestamp(), 1, 0, '[]', 'a test', 'a test'
         from (select count(*) as n from iu_outbox_partition) as made`,
      );
    await edit('two');
    await client.query('alter table event_outbox disable trigger user; delete from event_outbox');
    await client.query(
      `alter table event_outbox enable always trigger trg_iu_outbox_append_only,
         enable always trigger trg_iu_outbox_stamp, enable always trigger trg_iu_outbox_no_truncate`,
    );
    await retire();
    await applyFile(client, level('l3_triggers'));
    await edit('three');
    await retire();
    await edit('four');
    await applyFile(client, level('l3_triggers_back'));
    expect(await told()).toEqual(['a.md#b 3', 'a.md#b 4']);
    await applyFile(client, level('l3_triggers_back'));
    expect(await told()).toEqual(['a.md#b 3', 'a.md#b 4']);
  });

  test('L3’s way back waits for a writer, and two of them at once write each missed event once', async () => {
    await applyFile(client, level('l3_triggers'));
    await edit('two');
    const [writer, first, second] = await Promise.all([1, 2, 3].map(() => database.connect()));
    if (!writer || !first || !second) throw new Error('no sessions');
    await writer.query('begin');
    await writer.query(`select fn_iu_add_version('a.md#b', 'three', 'a slow writer')`);
    const both = Promise.all([first, second].map((session) => applyFile(session, level('l3_triggers_back'))));
    await until(
      client,
      `select count(*) = 2 as answer from pg_locks
       where relation = 'unit_version'::regclass and mode = 'ShareRowExclusiveLock' and not granted`,
    );
    await writer.query('commit');
    await both;
    expect(await told()).toEqual(['a.md#b 2', 'a.md#b 3']);
    expect(await triggers()).toContain('trg_iu_out_version A');
    await edit('four');
    expect(await told()).toEqual(['a.md#b 2', 'a.md#b 3', 'a.md#b 4']);
  });

  test('all levels one after another and all the way back: nothing is lost', async () => {
    await edit('two');
    for (const name of LEVELS) await applyFile(client, level(name));
    await edit('three');
    expect(await runWorker(client)).toMatchObject({ status: 'master_gate_closed' });
    for (const name of BACK) await applyFile(client, level(name));
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 2, attempts_written: 2 });
    expect(await ask(client, `select fn_iu_route_worker_health() ->> 'healthy' as answer`)).toBe('true');
    expect(await ask(client, `select count(*)::int as answer from dot_config where key ~ 'l3'`)).toBe(0);
  });

  test('it works where there are no units, and where the worker’s functions are gone', async () => {
    const bare = await createDatabase({ major });
    const other = await bare.connect();
    for (const path of [...BASE_FILES, ...WORKER_FILES]) await applyFile(other, path);
    for (const name of [...LEVELS, ...BACK]) await applyFile(other, level(name));
    await emit(other);
    await bare.drop();
  });
});
