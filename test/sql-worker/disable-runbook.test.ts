import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { createDatabase } from '../support/create-database.ts';
import { BASE_FILES, installed, WORKER_FILES } from './support/installed.ts';
import { applyFile } from './support/run-file.ts';
import { ask, emit, runWorker } from './support/worker.ts';

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
      `select array_agg(tgname || ' ' || tgenabled::text order by tgname) as answer
       from pg_trigger where not tgisinternal and starts_with(tgname, 'trg_iu_out')`,
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
