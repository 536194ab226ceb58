import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { approve, change, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import {
  actions,
  failures,
  receipts,
  send,
  table,
  tables,
  untilExecutes,
  untilStatus,
  untilStep,
} from '../support/engine-facts.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ lockTimeoutMs: 500 });
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

const broken = () => ({ do: engine.script('select 1/0', 'broken.sql'), undo: engine.script('select 1') });
const fails = () => change('broken', [broken()]);

test('undo goes last in, first out, and covers the step that failed', async () => {
  await engine.sql.query('create table t_log (id integer generated always as identity, what text)');
  const logged = (name: string) => ({
    do: engine.script(`insert into t_log (what) values ('do ${name}')`, `do/${name}`),
    undo: engine.script(`insert into t_log (what) values ('undo ${name}')`, `undo/${name}`),
  });
  const status = await engine.outcome(
    await engine.start(
      await engine.plan([
        noBackup(),
        change('one', [logged('a'), logged('b')]),
        change('two', [logged('c')]),
        change('three', [logged('d'), broken(), logged('e')]),
      ]),
    ),
  );
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/Step three: fail\. broken\.sql: division by zero \(22012\)/);
  const log = await engine.sql.query('select what from t_log order by id');
  expect(log.rows.map((row) => row.what)).toEqual([
    'do a',
    'do b',
    'do c',
    'do d',
    'undo d',
    'undo c',
    'undo b',
    'undo a',
  ]);
  expect(status.steps.map((step) => step.state)).toEqual(['done', 'undone', 'undone', 'undone']);
  expect(await receipts(engine, status.runId)).toEqual(
    expect.arrayContaining([
      'three/do/d do done',
      'three/do/d undo undone',
      'three/broken.sql do voided',
      'three/broken.sql undo voided',
      'three/do/e do voided',
      'three/do/e undo voided',
      'three do voided',
      'one do done',
    ]),
  );
  await engine.sql.query('drop table t_log');
});

test('an undo is registered before its step: a step whose answer is lost after COMMIT is undone', async () => {
  const lost = {
    do: engine.script('create table t_lost (id integer)', 'lost.sql'),
    undo: engine.script('drop table t_lost'),
  };
  // The step has not answered when the run is cancelled: the receipt of its first file alone knows of it.
  const slow = { do: engine.script('select pg_sleep(30)', 'slow.sql'), undo: engine.script('select 1') };
  const handle = await engine.start(await engine.plan([noBackup(), change('both', [lost, slow])]));
  await untilExecutes(engine, 'pg_sleep(30)');
  expect(await tables(engine)).toEqual(['t_lost']);
  await handle.cancel();
  const status = await engine.outcome(handle);
  expect(status).toMatchObject({ outcome: 'rolled_back', cause: 'cancelled' });
  expect((await handle.describe()).status.name).toBe('CANCELLED');
  expect(await tables(engine)).toEqual([]);
});

test('cancel ends a long statement within seconds and leaves nothing', async () => {
  const long = {
    do: engine.script('create table t_long (id integer); select pg_sleep(60)', 'long.sql'),
    undo: engine.script('drop table t_long'),
  };
  const handle = await engine.start(await engine.plan([noBackup(), change('long', [long])]));
  await untilExecutes(engine, 'pg_sleep(60)');
  const startedAt = Date.now();
  await handle.cancel();
  const status = await engine.outcome(handle);
  expect(Date.now() - startedAt).toBeLessThan(8_000);
  expect(status.outcome).toBe('rolled_back');
  expect(status.steps[1]).toMatchObject({ id: 'long', state: 'skipped' });
  expect(await tables(engine)).toEqual([]);
  expect(await receipts(engine, status.runId)).toContain('long/long.sql do voided');
  expect(await failures(engine, status.runId)).toEqual([]);
  expect(await actions(engine, status.runId)).toHaveLength(1);
  const sessions = async () =>
    (
      await engine.sql.query(
        `select from pg_stat_activity where datname = current_database() and application_name like 'sluice:%'`,
      )
    ).rowCount;
  await expect.poll(sessions).toBe(0);
});

test('an undo that fails is a state of its own; once its cause is gone, an undo run finishes it', async () => {
  const stubborn = {
    do: engine.script('create table t_two (id integer)', 'do/two.sql'),
    undo: engine.script('drop table t_two; drop table t_missing', 'undo/two.sql'),
  };
  const status = await engine.outcome(
    await engine.start(
      await engine.plan([
        noBackup(),
        change('one', [table(engine, 't_one')]),
        change('two', [stubborn]),
        fails(),
      ]),
    ),
  );
  expect(status.outcome).toBe('needs_action');
  expect(status.leftToDo).toEqual([
    {
      stepId: 'two',
      what: expect.stringMatching(
        /The undo of two did not go through: undo\/two\.sql.*table "t_missing" does not exist/,
      ),
      how: expect.stringMatching(
        new RegExp(`sluice macro rollback ${status.runId}, once undo/two.sql can run`),
      ),
    },
    { stepId: 'one', what: 'one still holds.', how: expect.stringContaining('undo/t_one.sql') },
  ]);
  expect(status.steps.map((step) => step.state)).toEqual(['done', 'done', 'undo_failed', 'skipped']);
  expect(await tables(engine)).toEqual(['t_one', 't_two']);
  expect(await failures(engine, status.runId)).toEqual(['broken do script_failed', 'two undo script_failed']);
  const row = await engine.sql.query('select outcome, left_to_do from sluice.run where run_id = $1', [
    status.runId,
  ]);
  expect(row.rows[0]).toMatchObject({
    outcome: 'needs_action',
    left_to_do: [{ stepId: 'two' }, { stepId: 'one' }],
  });

  await engine.sql.query('create table t_missing (id integer)');
  const undone = await engine.outcome(await engine.undo(status.runId ?? ''));
  expect(undone.outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
});

const refusing = () => ({
  do: engine.script('create table t_history (id integer)', 'do/history.sql'),
  undo: engine.script(
    `do $$ begin raise exception using errcode = 'SL001', message = 'history exists', hint = 'disable instead'; end $$`,
    'undo/history.sql',
  ),
});

test('a rollback script that refuses leads to the disable runbook, and the run ends as disabled', async () => {
  const disable = [
    { id: 'l0', title: 'Close the gate', script: engine.script('create table t_closed_l0 (id integer)') },
    {
      id: 'l1',
      title: 'Close the master gate',
      script: engine.script('create table t_closed_l1 (id integer)'),
    },
  ];
  const status = await engine.outcome(
    await engine.start(
      await engine.plan(
        [noBackup(), change('one', [table(engine, 't_one')]), change('two', [refusing()]), fails()],
        {
          disable,
        },
      ),
    ),
  );
  expect(status.outcome).toBe('disabled');
  expect(status.steps.map((step) => step.state)).toEqual(['done', 'done', 'undo_failed', 'skipped']);
  expect(status.steps[2]?.detail).toMatch(/history exists \(SL001\)/);
  expect(await tables(engine)).toEqual(['t_closed_l0', 't_closed_l1', 't_history', 't_one']);
  expect(await receipts(engine, status.runId)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^disable-l0\/.* undo done$/),
      expect.stringMatching(/^disable-l1\//),
    ]),
  );
  expect(await failures(engine, status.runId)).toEqual([
    'broken do script_failed',
    'two undo rollback_refused',
  ]);
  await engine.sql.query('drop table t_closed_l0, t_closed_l1, t_history, t_one');
});

test('a rollback script that refuses, without a disable runbook, needs action', async () => {
  const status = await engine.outcome(
    await engine.start(await engine.plan([noBackup(), change('two', [refusing()]), fails()])),
  );
  expect(status.outcome).toBe('needs_action');
  expect(status.leftToDo[0]).toMatchObject({
    stepId: 'two',
    how: expect.stringContaining('undo/history.sql'),
  });
  await engine.sql.query('drop table t_history');
});

test('a disable step that fails needs action and says what is left', async () => {
  const disable = [
    { id: 'l0', title: 'Close the gate', script: engine.script('select 1/0', 'disable/l0.sql') },
  ];
  const status = await engine.outcome(
    await engine.start(await engine.plan([noBackup(), change('two', [refusing()]), fails()], { disable })),
  );
  expect(status.outcome).toBe('needs_action');
  expect(status.leftToDo[0]).toMatchObject({
    stepId: 'l0',
    what: expect.stringMatching(
      /disable step l0 \(Close the gate\) failed: disable\/l0\.sql: division by zero/,
    ),
    how: 'psql -f disable/l0.sql',
  });
  await engine.sql.query('drop table t_history');
});

test('an irreversible step that was done needs action; one that was not is passed over', async () => {
  const irreversible = (id: string, sql: string) =>
    change(id, [{ do: engine.script(sql, `${id}.sql`), undo: null }], { irreversibleReason: 'a test' });
  const passed = await engine.outcome(
    await engine.start(
      await engine.plan([
        noBackup(),
        change('one', [table(engine, 't_one')]),
        irreversible('never', 'select 1/0'),
      ]),
    ),
  );
  expect(passed.outcome).toBe('rolled_back');
  const status = await engine.outcome(
    await engine.start(
      await engine.plan([
        noBackup(),
        change('one', [table(engine, 't_one')]),
        irreversible('gone', 'create table t_gone ()'),
        fails(),
      ]),
    ),
  );
  expect(status.outcome).toBe('needs_action');
  expect(status.leftToDo[0]?.what).toMatch(/Step gone is irreversible: gone\.sql has no undo/);
  expect(status.leftToDo[0]?.how).toMatch(/once the undo that gone\.sql lacks can run/);
  expect(await tables(engine)).toEqual(['t_gone', 't_one']);
  await engine.sql.query('drop table t_gone, t_one');
});

test('an undo outlasts a lock that somebody else holds for a while', async () => {
  const handle = await engine.start(
    await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), approve()]),
  );
  await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null);
  const other = await engine.database.connect();
  await other.query('begin; lock table t_one in access share mode');
  await send(handle, 'rollback');
  const runId = (await untilStep(handle, 'one', 'undoing')).runId;
  await expect.poll(() => failures(engine, runId), { timeout: 20_000 }).toContain('one undo lock_timeout');
  await other.query('rollback');
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
  await other.end();
});

test('a rollback that cannot be recorded still rolls back, and says so', async () => {
  await engine.sql.query(`
    create function f_refuse() returns trigger language plpgsql as $$ begin raise exception 'no room for evidence'; end $$;
    create trigger refuse_control before insert on sluice.control_action for each row execute function f_refuse()`);
  const handle = await engine.start(
    await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), approve()]),
  );
  await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null);
  await send(handle, 'rollback');
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/rolled back by bo: a test \(who asked could not be recorded\)/);
  expect(await tables(engine)).toEqual([]);
  await engine.sql.query('drop trigger refuse_control on sluice.control_action');
});

test('a run whose row cannot be closed needs action, and the next start closes the row', async () => {
  await engine.sql.query(
    'create trigger refuse_close before update on sluice.run for each row execute function f_refuse()',
  );
  const planHash = await engine.plan([noBackup(), change('one', [table(engine, 't_one')])]);
  const status = await engine.outcome(await engine.start(planHash));
  expect(status.outcome).toBe('needs_action');
  expect(status.leftToDo[0]?.what).toMatch(
    /ended as succeeded, but its row in the target could not be closed/,
  );
  await engine.sql.query('drop trigger refuse_close on sluice.run; drop function f_refuse()');
  const undone = await engine.outcome(await engine.undo(status.runId ?? ''));
  expect(undone.outcome).toBe('rolled_back');
  const row = await engine.sql.query('select outcome from sluice.run where run_id = $1', [status.runId]);
  expect(row.rows).toEqual([{ outcome: 'needs_action' }]);
  expect(await tables(engine)).toEqual([]);
});
