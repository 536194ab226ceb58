import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { ask, emit, runNow, runWorker, settled, sqlstateOf } from './support/worker.ts';

const GATES = [
  ['iu_core.outbound_enabled', 'master_gate_closed'],
  ['iu_core.route_worker_enabled', 'worker_gate_closed'],
] as const;

describe.each([15, 18] as const)('a gate that is not plainly open, on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
    await emit(client);
    await settled(client);
  });
  afterEach(async () => {
    await database.drop();
  });
  const nothingHappened = async () => {
    expect(await ask(client, 'select count(*)::int as answer from iu_route_attempt')).toBe(0);
    expect(
      await ask(
        client,
        'select count(*)::int as answer from iu_route_worker_cursor where cursor_event_id is not null',
      ),
    ).toBe(0);
  };

  test.each(GATES)('%s is closed for every value but exactly true', async (key, status) => {
    const values = [
      null,
      '',
      'TRUE',
      'True',
      'TRUE ',
      'true ',
      ' true',
      'true\n',
      'true\u00a0',
      'truе',
      '"true"',
      't',
      '1',
      'on',
    ];
    for (const value of values) {
      await client.query('update dot_config set value = $2 where key = $1', [key, value]);
      expect(await runNow(client), JSON.stringify(value)).toMatchObject({
        status,
        seen: 0,
        attempts_written: 0,
      });
    }
    await client.query('delete from dot_config where key = $1', [key]);
    expect(await runNow(client)).toMatchObject({ status, seen: 0 });
    await nothingHappened();
    await client.query(`insert into dot_config (key, value) values ($1, 'true')`, [key]);
    expect(await runNow(client)).toMatchObject({ status: 'ran', seen: 1 });
  });

  test('a table that is locked beyond lock_timeout fails the run with 55P03 and routes nothing', async () => {
    const locker = await database.connect();
    await locker.query('begin');
    await locker.query('lock table dot_config in access exclusive mode');
    await client.query(`set lock_timeout = '100ms'`);
    expect(await sqlstateOf(runNow(client))).toBe('55P03');
    await locker.query('rollback');
    await nothingHappened();
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 1 });
  });

  test('a table that the worker’s owner may not read routes nothing', async () => {
    await client.query('revoke select on dot_config from iu_core_owner');
    const answered = await runNow(client).catch((error: { code: string }) => ({ status: error.code }));
    expect(['42501', 'master_gate_closed', 'worker_gate_closed']).toContain(answered.status);
    expect(await ask(client, `select count(*)::int as answer from iu_route_attempt`)).toBe(0);
    await client.query('grant select on dot_config to iu_core_owner');
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 1 });
  });

  test('a table that is gone routes nothing', async () => {
    await client.query('alter table dot_config rename to elsewhere');
    const answered = await runNow(client).catch((error: { code: string }) => ({ status: error.code }));
    expect(['42P01', 'master_gate_closed', 'worker_gate_closed']).toContain(answered.status);
    await nothingHappened();
  });

  test.each(['pg_temp, public', 'pg_temp'])(
    'a temporary dot_config that says true opens nothing under search_path %s',
    async (path) => {
      await client.query(`update dot_config set value = 'false' where key = 'iu_core.route_worker_enabled'`);
      await client.query('create temp table dot_config as select * from public.dot_config');
      await client.query(`update pg_temp.dot_config set value = 'true'`);
      await client.query(`set search_path = ${path}`);
      const shadow = `select value as answer from dot_config where key = 'iu_core.route_worker_enabled'`;
      expect(await ask(client, shadow)).toBe('true');
      expect(
        await ask(
          client,
          `select public.fn_iu_route_worker_run('iu_outbound_default', 10) ->> 'status' as answer`,
        ),
      ).toBe('worker_gate_closed');
      await client.query('set search_path = public');
      await nothingHappened();
    },
  );

  test('a gate that is closed while a transaction with an older snapshot is open stops the run in it', async () => {
    const operator = await database.connect();
    await client.query('begin');
    await client.query('select count(*) from dot_config');
    await operator.query(`update dot_config set value = 'false' where key = 'iu_core.route_worker_enabled'`);
    expect(await runNow(client)).toMatchObject({ status: 'worker_gate_closed', seen: 0 });
    await client.query('commit');
    await nothingHappened();
  });
});
