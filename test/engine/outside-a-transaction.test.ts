import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { change, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import { receipts, untilExecutes, untilStep } from '../support/engine-facts.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ lockTimeoutMs: 1_000 });
  await engine.sql.query('create table t_big (id integer, name text)');
  await engine.sql.query('insert into t_big select n, n::text from generate_series(1, 500) as n');
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

const index = (name: string, column: string, unique = '') => ({
  do: engine.script(`create ${unique} index concurrently ${name} on t_big (${column})`, `do/${name}.sql`),
  undo: engine.script(`drop index if exists ${name}`, `undo/${name}.sql`),
  doneWhen: engine.script(
    `select '${name}' as check_id, case when i.indisvalid then 'pass' else 'fail' end as verdict, '' as detail
     from pg_index as i where i.indexrelid = to_regclass('${name}')`,
    `done/${name}.sql`,
  ),
});
const indexes = async () =>
  (
    await engine.sql.query<{ line: string }>(
      `select indexrelid::regclass || case when indisvalid then '' else ' invalid' end as line
       from pg_index where indrelid = 't_big'::regclass order by line`,
    )
  ).rows.map((row) => row.line);

test('a concurrent index is built outside a transaction, with an intent before and a receipt after', async () => {
  const step = change('index', [index('i_name', 'name')]);
  const status = await engine.outcome(await engine.start(await engine.plan([noBackup(), step])));
  expect(status.outcome).toBe('succeeded');
  expect(await indexes()).toEqual(['i_name']);
  expect(await receipts(engine, status.runId)).toContain('index/do/i_name.sql do done');
  const intents = await engine.sql.query('select step_id, part from sluice.step_intent where run_id = $1', [
    status.runId,
  ]);
  expect(intents.rows).toEqual([{ step_id: 'index', part: 'do/i_name.sql' }]);
  expect((await engine.outcome(await engine.undo(status.runId ?? ''))).outcome).toBe('rolled_back');
  expect(await indexes()).toEqual([]);
});

test('what a failed build left is undone by its intent, though it has no receipt', async () => {
  await engine.sql.query(`insert into t_big values (1, 'twice')`);
  const status = await engine.outcome(
    await engine.start(await engine.plan([noBackup(), change('index', [index('i_unique', 'id', 'unique')])])),
  );
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/could not create unique index "i_unique" \(23505\)/);
  expect(status.steps[1]?.state).toBe('undone');
  expect(await indexes()).toEqual([]);
  await engine.sql.query(`delete from t_big where name = 'twice'`);
});

test('an invalid index of a lost attempt is dropped before the next one; those of others stay', {
  timeout: 60_000,
}, async () => {
  await engine.sql.query(`insert into t_big values (1, 'twice')`);
  await engine.sql.query('create unique index concurrently i_stranger on t_big (id)').catch(() => undefined);
  await engine.sql.query(`delete from t_big where name = 'twice'`);
  expect(await indexes()).toEqual(['i_stranger invalid']);
  // A reader that is older than the build makes it wait after its index is in the catalogue, invalid.
  const reader = await engine.database.connect();
  await reader.query('begin isolation level repeatable read; select count(*) from t_big');
  const handle = await engine.start(
    await engine.plan([noBackup(), change('index', [index('i_name', 'name')])]),
  );
  const pid = await untilExecutes(engine, 'concurrently i_name');
  await expect.poll(indexes, { timeout: 10_000 }).toEqual(['i_name invalid', 'i_stranger invalid']);
  await engine.sql.query('select pg_terminate_backend($1)', [pid]);
  await expect
    .poll(
      async () =>
        (await handle.describe()).raw.pendingActivities?.some((activity) => (activity.attempt ?? 0) > 1),
      {
        timeout: 10_000,
      },
    )
    .toBe(true);
  await reader.query('rollback');
  await reader.end();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(await indexes()).toEqual(['i_name', 'i_stranger invalid']);
  expect((await engine.outcome(await engine.undo(status.runId ?? ''))).outcome).toBe('rolled_back');
  await engine.sql.query('drop index i_stranger');
});

test('cancelling a concurrent build leaves no index', { timeout: 60_000 }, async () => {
  const reader = await engine.database.connect();
  await reader.query('begin isolation level repeatable read; select count(*) from t_big');
  const handle = await engine.start(
    await engine.plan([noBackup(), change('index', [index('i_slow', 'name')])]),
  );
  await untilExecutes(engine, 'concurrently i_slow');
  await expect.poll(indexes, { timeout: 10_000 }).toEqual(['i_slow invalid']);
  await handle.cancel();
  await untilStep(handle, 'index', 'undoing');
  await reader.query('rollback');
  await reader.end();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(await indexes()).toEqual([]);
});

test('an effect that an earlier attempt intended is never taken for somebody else’s', {
  timeout: 60_000,
}, async () => {
  const pair = index('i_name', 'name');
  const slow = {
    ...pair,
    doneWhen: engine.script(
      `select 'i_name' as check_id, case when i.indisvalid then 'pass' else 'fail' end as verdict,
         case when i.indisvalid and pg_is_in_recovery() is not null then pg_sleep(2)::text else '' end as detail
       from pg_index as i where i.indexrelid = to_regclass('i_name')`,
      'done/slowly.sql',
    ),
  };
  const step = change('index', [slow], { holds: pair.doneWhen });
  const handle = await engine.start(await engine.plan([noBackup(), step]));
  const pid = await untilExecutes(engine, 'pg_sleep(2)');
  expect(await indexes()).toEqual(['i_name']);
  await engine.sql.query('select pg_terminate_backend($1)', [pid]);
  const status = await engine.outcome(handle);
  expect(status.steps[1]).toMatchObject({ state: 'done', attempts: 2 });
  expect((await engine.outcome(await engine.undo(status.runId ?? ''))).outcome).toBe('rolled_back');
  expect(await indexes()).toEqual([]);
});
