import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ask, emit, runNow, settled } from './sql-worker/support/worker.ts';
import { OUTBOX_TEMPLATE } from './support/outbox-template.ts';
import { type CliProject, cliProject, runCli } from './support/run-cli.ts';

vi.setConfig({ testTimeout: 120_000 });

let project: CliProject;
let sql: pg.Client;
beforeEach(async () => {
  project = await cliProject({ worker: false, template: OUTBOX_TEMPLATE });
  sql = await project.database.connect();
});
afterEach(() => project.close());

const emitting = (...args: string[]) =>
  project.sluice('outbox', 'emit', '--domain', 'iu', '--type', 'tried', ...args);
const emitFile = async (content: string | Uint8Array) => {
  await writeFile(join(project.dir, 'payload.json'), content);
  return emitting('--payload-file', 'payload.json');
};
const count = (table: string) => ask<number>(sql, `select count(*)::int as answer from ${table}`);
/** Until the trigger is dropped, an attempt is recorded only after this. */
const recordingDoes = async (statements: string) => {
  await sql.query(
    `create function in_the_way() returns trigger language plpgsql as $$ begin ${statements} return new; end $$`,
  );
  await sql.query(
    'create trigger in_the_way before insert on iu_route_attempt for each row execute function in_the_way()',
  );
};

test('a payload with NUL, half a surrogate pair or broken UTF-8 is refused with its reason, never altered', async () => {
  for (const [payload, why] of [
    ['{"a": "x\\u0000"}', /holds NUL \(\\u0000\)/],
    ['{"a": "\\\\\\u0000"}', /holds NUL/],
    ['{"a": "\\ud83d"}', /holds half a surrogate pair/],
    ['{"a": "\\ude00\\ud83d"}', /holds half a surrogate pair/],
    ['{"a": "\\uD83D\\uD83D\\uDE00"}', /holds half a surrogate pair/],
  ] as const) {
    const { exitCode, stdout, stderr } = await emitting('--payload', payload);
    expect({ exitCode, stdout }, payload).toEqual({ exitCode: 2, stdout: '' });
    expect(stderr).toMatch(why);
  }
  const broken = await emitFile(Uint8Array.from([...Buffer.from('{"a": "'), 0xff, ...Buffer.from('"}')]));
  expect(broken.exitCode).toBe(2);
  expect(broken.stderr).toMatch(/not UTF-8/);
  expect(await count('event_outbox')).toBe(0);
});

test('what only looks like it is kept: an escaped backslash, a whole pair, numbers beyond 2^53', async () => {
  const payload = '{"a": "\\\\u0000", "b": "\\uD83D\\uDE00", "c": "😀", "n": 9007199254740993, "f": 0.10}';
  expect((await emitting('--payload', payload)).exitCode).toBe(0);
  const { rows } = await sql.query(
    `select payload ->> 'a' as a, payload ->> 'b' as b, payload ->> 'c' as c, payload ->> 'n' as n, payload ->> 'f' as f
     from event_outbox`,
  );
  expect(rows).toEqual([{ a: '\\u0000', b: '😀', c: '😀', n: '9007199254740993', f: '0.10' }]);
});

test('a payload 10,000 deep is kept exactly and routed', async () => {
  const payload = `{"a":${'['.repeat(9_999)}1${']'.repeat(9_999)}}`;
  expect((await emitFile(payload)).exitCode).toBe(0);
  expect(await ask(sql, `select replace(payload::text, ' ', '') as answer from event_outbox`)).toBe(payload);
  await settled(sql);
  expect(await project.json('outbox', 'drain')).toMatchObject({ events: 1, deadLettered: 0 });
});

test('20 MB are refused with their size and the setting that limits it; nothing of them is printed', async () => {
  const { exitCode, stderr } = await emitFile(JSON.stringify({ text: 'x'.repeat(20 * 1024 * 1024) }));
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(
    /payload has 209715\d\d bytes; dot_config iu_core\.event_payload_max_bytes allows 262144/,
  );
  expect(stderr.length).toBeLessThan(1_000);
  expect(await count('event_outbox')).toBe(0);
});

test.each([
  [['--batch', '0'], 2],
  [['--batch', '-1'], 2],
  [['--batch', 'many'], 2],
  [['--batch', '99999999999'], 2],
  [['--limit', '0'], 2],
  [['--batch', '999999999'], 3],
])('drain %j ends with %i and routes nothing', async (args, code) => {
  await emit(sql);
  await settled(sql);
  const { exitCode, stdout, stderr } = await project.sluice('outbox', 'drain', ...args);
  expect({ exitCode, stdout }).toEqual({ exitCode: code, stdout: '' });
  expect(stderr).toMatch(/whole number|route_worker_max_batch/);
  expect(await count('iu_route_attempt')).toBe(0);
});

test('gates that cannot be read within lock_timeout end the drain with 3, and nothing is routed', async () => {
  await emit(sql);
  await settled(sql);
  const locker = await project.database.connect();
  await locker.query('begin');
  await locker.query('lock table dot_config in access exclusive mode');
  const { exitCode, stderr } = await project.sluice('outbox', 'drain');
  await locker.query('rollback');
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/lock timeout \(55P03\)/);
  expect(await count('iu_route_attempt')).toBe(0);
  expect(await project.json('outbox', 'drain')).toMatchObject({ events: 1, status: 'ran' });
});

test('a cursor ahead of the cluster ends the drain with 3 and says what would be lost', async () => {
  await emit(sql);
  await settled(sql);
  await runNow(sql);
  await sql.query(`update iu_route_worker_cursor set cursor_xact_id = '4611686018427387904'`);
  await emit(sql);
  const { exitCode, stderr } = await project.sluice('outbox', 'drain');
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/which this cluster has not reached yet \(SL007\)[\s\S]*Nothing was changed/);
});

test('defaults of the database for isolation and durability do not reach a drain', async () => {
  await sql.query(
    `alter database ${project.database.name} set default_transaction_isolation = 'serializable'`,
  );
  await sql.query(`alter database ${project.database.name} set synchronous_commit = off`);
  await sql.query('create table seen (durability text, actor text, reason text)');
  await sql.query('alter table seen owner to iu_core_owner');
  await recordingDoes(
    `insert into seen values (
       current_setting('synchronous_commit'), current_setting('sluice.actor'), current_setting('sluice.reason'));`,
  );
  await emit(sql);
  await settled(sql);
  expect(await project.json('outbox', 'drain', '--reason', 'a test')).toMatchObject({
    events: 1,
    status: 'ran',
  });
  expect((await sql.query('select * from seen')).rows).toEqual([
    { durability: 'on', actor: 'ana', reason: 'a test' },
  ]);
});

test('who may run the worker and read nothing drains without a total', async () => {
  const role = `drainer_${process.pid}`;
  await sql.query(`create role ${role} login password 'only in a test' in role iu_core_worker`);
  for (let n = 0; n < 3; n += 1) await emit(sql, { n });
  await settled(sql);
  const url = new URL(project.database.url);
  url.username = role;
  url.password = 'only in a test';
  const env = { ...project.env, TARGET_URL: url.href };
  const { stdout, stderr } = await runCli(['outbox', 'drain', '--json', '--batch', '2'], {
    cwd: project.dir,
    env,
  });
  expect(stderr).toContain('drained 2 events');
  expect(JSON.parse(stdout)).toMatchObject({ events: 3, batches: 2, status: 'ran' });
  await sql.query(`drop role ${role}`);
});

test('a serialization failure or a deadlock is tried again, and the drain goes through', async () => {
  for (const sqlstate of ['40001', '40P01']) {
    await sql.query('create sequence tries; alter sequence tries owner to iu_core_owner');
    await recordingDoes(
      `if nextval('tries') <= 2 then raise exception using errcode = '${sqlstate}', message = 'made up'; end if;`,
    );
    await emit(sql);
    await settled(sql);
    expect(await project.json('outbox', 'drain')).toMatchObject({
      events: 1,
      attempts: 1,
      deadLettered: 0,
      status: 'ran',
    });
    expect(await ask(sql, 'select last_value::int as answer from tries')).toBe(3);
    await sql.query('drop function in_the_way() cascade; drop sequence tries');
  }
});

test('one that does not end is given up after a bounded number of tries, and nothing is left', async () => {
  await recordingDoes(`raise exception using errcode = '40001', message = 'made up';`);
  await emit(sql);
  await settled(sql);
  const { exitCode, stdout, stderr } = await project.sluice('outbox', 'drain');
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
  expect(stderr).toMatch(/made up \(40001\)[\s\S]*within \d+ tries[\s\S]*nothing is lost/);
  expect(await count('iu_route_attempt')).toBe(0);
  expect(await count('iu_route_dead_letter')).toBe(0);
});

test('an event whose filter raises is dead-lettered alone', async () => {
  await sql.query(`update iu_outbound_route set event_filter = 'strict $.size.double()'`);
  for (const size of ['4', 'not a number', '5']) await emit(sql, { size });
  await settled(sql);
  expect(await project.json('outbox', 'drain')).toMatchObject({ events: 3, attempts: 3, deadLettered: 1 });
  expect(await project.json('outbox', 'conservation')).toMatchObject({ balanced: true });
});
