import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { approve, change, check, noBackup, observe, type TestEngine, testEngine } from '../support/engine.ts';
import { failures, reports, table, tables, untilStatus } from '../support/engine-facts.ts';
import { waitFor } from '../support/wait-for.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ lockTimeoutMs: 400, changeTimeoutMs: 1_500 });
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

const ends = async (...steps: Parameters<TestEngine['plan']>[0][number][]) =>
  engine.outcome(await engine.start(await engine.plan([noBackup(), ...steps])));

/** The innermost failure of a run that never opened. */
const refused = async (planHash: string) => {
  const handle = await engine.start(planHash);
  const error = await handle.result().catch((thrown: unknown) => thrown);
  let cause = error as Error & { type?: string };
  while (cause.cause instanceof Error) cause = cause.cause as typeof cause;
  return { type: cause.type, message: cause.message };
};

test.each(['check', 'verify'] as const)(
  'a %s that tries to write fails, and nothing is written',
  async (kind) => {
    const writes = [
      'create table t_written (id integer)',
      'set transaction read write; create table t_written (id integer)',
      `set local transaction_read_only = off; create table t_written (id integer)`,
    ];
    for (const text of writes) {
      const status = await ends(
        change('one', [table(engine, 't_one')]),
        check('proof', [engine.script(text, 'proof.sql')], { kind }),
      );
      expect(status.outcome).toBe('rolled_back');
      expect(status.cause).toMatch(/Step proof: fail\. proof\.sql/);
      expect(await tables(engine)).toEqual([]);
      if (text === writes[0]) expect(await failures(engine, status.runId)).toEqual(['proof do verify_wrote']);
    }
  },
);

test('a check that reports nothing is not_run, which is no pass', async () => {
  const none = engine.script(
    `select 'C1' as check_id, 'pass' as verdict, 'x' as detail where false`,
    'none.sql',
  );
  const status = await ends(check('gate', [reports(engine, 'pass'), none]));
  expect(status.outcome).toBe('rolled_back');
  expect(status.steps[1]).toMatchObject({ verdict: 'not_run', state: 'failed' });
  expect(status.cause).toMatch(/Step gate: not_run\. none\.sql not_run: the script reported no check/);
});

test('a verdict of another word fails the step and names the four', async () => {
  const status = await ends(check('gate', [reports(engine, 'ok')]));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(
    /check C1 reported the verdict "ok"\. A verdict is one of pass, fail, inconclusive, not_run/,
  );
  expect(await failures(engine, status.runId)).toEqual(['gate do script_bad_verdict']);
});

test('a failing check turns the run back; its rows stay in the target', async () => {
  const status = await ends(check('gate', [reports(engine, 'pass', 'A'), reports(engine, 'fail', 'B')]));
  expect(status.cause).toMatch(/Step gate: fail\. B fail: a test/);
  const row = await engine.sql.query('select checks from sluice.step_failure where run_id = $1', [
    status.runId,
  ]);
  expect(row.rows[0]?.checks).toEqual([
    { checkId: 'A', verdict: 'pass', detail: 'a test' },
    { checkId: 'B', verdict: 'fail', detail: 'a test' },
  ]);
});

test('a migration whose own check does not pass is rolled back', async () => {
  const bad = {
    do: engine.script(
      `create table t_bad (id integer); select 'M1' as check_id, 'inconclusive' as verdict, 'hm' as detail`,
      'bad.sql',
    ),
    undo: engine.script('drop table t_bad'),
  };
  const status = await ends(change('bad', [bad]));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/bad\.sql reported M1 inconclusive \(hm\)/);
  expect(await tables(engine)).toEqual([]);
});

test('an SQL error names file, line and column', async () => {
  const wrong = {
    do: engine.script(
      'create table t_fine (id integer);\n\ninsert into t_fine\n  values (1, näher);\n',
      'deep/wrong.sql',
    ),
    undo: engine.script('drop table t_fine'),
  };
  const status = await ends(change('wrong', [wrong]));
  expect(status.cause).toMatch(/deep\/wrong\.sql line 4 column 14: column "näher" does not exist \(42703\)/);
  expect(await tables(engine)).toEqual([]);
});

test('a statement that exceeds its timeout fails and leaves nothing', async () => {
  const slow = {
    do: engine.script('create table t_slow (); select pg_sleep(9)', 'slow.sql'),
    undo: engine.script('drop table t_slow'),
  };
  const status = await ends(change('slow', [slow]));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/slow\.sql: canceling statement due to statement timeout \(57014\)/);
  expect(await tables(engine)).toEqual([]);
});

test('a lock that is not granted is tried five times, then named with the pid that holds it', {
  timeout: 60_000,
}, async () => {
  await engine.sql.query('create table t_locked (id integer)');
  const holder = await engine.database.connect();
  await holder.query('begin; lock table t_locked');
  const pid = (await holder.query('select pg_backend_pid() as pid')).rows[0]?.pid;
  const step = {
    do: engine.script('alter table t_locked add column more integer', 'more.sql'),
    undo: engine.script('select 1'),
  };
  const status = await ends(change('more', [step]));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(
    new RegExp(
      `more\\.sql.*lock timeout.*lock_timeout = 400 ms; held by pid ${pid} \\(user postgres, application createDatabase\\.connect`,
    ),
  );
  expect(await failures(engine, status.runId)).toEqual(Array(5).fill('more do lock_timeout'));
  expect(status.steps[1]?.attempts).toBe(5);
  await holder.end();
  await engine.sql.query('drop table t_locked');
});

test('a probe that fails turns the run back; nothing of it stays', async () => {
  const probe = engine.script(
    `create table t_probe (id integer); select 'P1' as check_id, 'fail' as verdict, 'no' as detail`,
  );
  const status = await ends(check('probe', [probe], { kind: 'probe' }));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/Step probe: fail\. xid \d+ aborted; P1 fail: no/);
  expect(await tables(engine)).toEqual([]);
});

test('a probe that leaks rows fails and names the transaction', async () => {
  const leaks = engine.script(
    `create table t_leak (id integer); commit; begin; select 'P1' as check_id, 'pass' as verdict, 'x' as detail`,
  );
  const status = await ends(check('probe', [leaks], { kind: 'probe' }));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(
    /did not stay in its transaction: xid \d+ is committed.*find it by xmin before going on/,
  );
  expect(await failures(engine, status.runId)).toEqual(['probe do probe_leaked']);
  await engine.sql.query('drop table t_leak');
});

test('a probe that moves a sequence passes; the sequence is reported', async () => {
  await engine.sql.query('create sequence s_drawn');
  const probe = engine.script(
    `select 'P1' as check_id, 'pass' as verdict, nextval('s_drawn')::text as detail`,
  );
  const status = await ends(check('probe', [probe], { kind: 'probe' }));
  expect(status.outcome).toBe('succeeded');
  expect(status.steps[1]?.detail).toMatch(/sequences moved: public\.s_drawn unused → 1/);
  const facts = await engine.sql.query(
    `select facts from sluice.step_receipt where run_id = $1 and step_id = 'probe'`,
    [status.runId],
  );
  expect(facts.rows[0]?.facts).toMatchObject({
    xactStatus: 'aborted',
    leakedSequences: ['public.s_drawn unused → 1'],
  });
  await engine.sql.query('drop sequence s_drawn');
});

test('an observed metric outside its limits fails, one between them holds, one without a value is not_run', async () => {
  const metric = (text: string) => ({
    name: 'backlog',
    unit: 'events',
    script: engine.script(text, 'backlog.sql'),
    pass: { max: 0 },
    fail: { max: 10 },
    consecutiveSuccess: 2,
    failureLimit: 1,
  });
  const short = { windowMs: 400, intervalMs: 100 };
  const failing = await ends(
    observe('watch', [metric('select 11 as value')], { ...short, windowMs: 60_000 }),
  );
  expect(failing.cause).toMatch(/backlog fail: last 11 events, 0 of 2 samples pass, 2 fail \(limit 1\)/);
  const none = await ends(observe('watch', [metric('select null::int as value')], short));
  expect(none.steps[1]).toMatchObject({ verdict: 'not_run' });
  const wrong = await ends(observe('watch', [metric('select nonsense as value')], short));
  expect(wrong.cause).toMatch(/backlog\.sql line 1 column 8: column "nonsense" does not exist/);
  const passing = await ends(observe('watch', [metric('select 0 as value')], short));
  expect(passing.outcome).toBe('succeeded');
  const handle = await engine.start(
    await engine.plan([noBackup(), observe('watch', [metric('select 5 as value')], short)]),
  );
  const held = await untilStatus(handle, (status) => status.held !== null);
  expect(held.held?.reason).toMatch(/step watch is inconclusive/);
  await handle.cancel();
  expect((await engine.outcome(handle)).outcome).toBe('rolled_back');
});

test('an unknown plan, and a plan of another target, are refused before anything is changed', async () => {
  expect(await refused('beef')).toMatchObject({
    type: 'plan_not_found',
    message: expect.stringMatching(/stores no plan beef.*sluice macro plan.*Nothing was changed/),
  });
  const foreign = await engine.plan([noBackup()], { target: 'elsewhere' });
  expect(await refused(foreign)).toMatchObject({
    type: 'plan_not_found',
    message: expect.stringMatching(/was made for target elsewhere/),
  });
});

test('a run of a text that was changed in the target is refused', async () => {
  const pair = table(engine, 't_tampered');
  const planHash = await engine.plan([noBackup(), change('one', [pair]), approve()]);
  await engine.sql.query(`
    alter table sluice.script disable trigger all;
    alter table sluice.script drop constraint sha256_is_of_the_body;
    update sluice.script set body = 'create table t_evil (id integer)' where body like '%t_tampered%';
    alter table sluice.script enable always trigger refuse_change`);
  const status = await engine.outcome(await engine.start(planHash));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(
    /The script stored under sha256 [0-9a-f]{64} has sha256 [0-9a-f]{64}.*Nothing of it was executed/,
  );
  expect(await tables(engine)).toEqual([]);

  const other = await engine.plan([noBackup('other')]);
  await engine.sql.query(`
    alter table sluice.plan disable trigger all;
    alter table sluice.plan drop constraint plan_hash_is_of_the_canonical_text;
    update sluice.plan set canonical = replace(canonical, 'other', 'evil');
    alter table sluice.plan enable always trigger refuse_change`);
  expect(await refused(other)).toMatchObject({ type: 'script_tampered' });
});

test('an engine schema that is newer, older or missing is refused, and says what to do', async () => {
  await engine.sql.query('insert into sluice.engine_version (version) values (999)');
  expect(await refused('beef')).toMatchObject({
    type: 'engine_schema_newer',
    message: expect.stringMatching(/version 999, newer than this program's \d+.*upgrade sluice/),
  });
  await engine.sql.query('delete from sluice.engine_version where version > 1');
  expect(await refused('beef')).toMatchObject({
    type: 'engine_schema_missing',
    message: expect.stringMatching(/sluice init/),
  });
  await engine.sql.query('drop schema sluice cascade');
  expect(await refused('beef')).toMatchObject({
    type: 'engine_schema_missing',
    message: expect.stringMatching(/version 0/),
  });
  await waitFor(
    async () => (await engine.sql.query(`select from pg_namespace where nspname = 'sluice'`)).rowCount === 0,
  );
});
