import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startWorker } from '../../worker.ts';
import { startChildWorker } from '../support/child-worker.ts';
import { change, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import { failures, receipts, tables, untilExecutes, untilStep } from '../support/engine-facts.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';
import { workflowBundle } from '../support/workflow-bundle.ts';

/** Steps of these tests wait for this advisory lock; who holds it decides when they go on. */
const TURNSTILE = 7;
const WAIT = `set local lock_timeout = 0; select pg_advisory_xact_lock(${TURNSTILE})`;

let engine: TestEngine;
let keeper: pg.Client;
const ends: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  engine = await testEngine({ worker: false, lockTimeoutMs: 1_000 });
  keeper = await engine.database.connect();
});
afterEach(async () => {
  await open();
  await engine.abandon();
  for (const end of ends.splice(0).reverse()) await end();
});
afterAll(() => engine.close());

const shut = () => keeper.query('select pg_advisory_lock($1)', [TURNSTILE]);
const open = () => keeper.query('select pg_advisory_unlock_all()');

async function work(address = engine.address) {
  const worker = await startWorker({
    endpoint: { connectionOptions: { address }, namespace: 'default' },
    taskQueue: engine.taskQueue,
    bundlePath: (await workflowBundle()).codePath,
    openTarget: async () => engine.access,
  });
  ends.push(() => worker.stop());
}

/** A worker whose way to Temporal can be cut: it goes on in the target, but nobody hears its heartbeats. */
async function workBehindADoor() {
  const door = await startTcpProxy(`tcp://${engine.address}`);
  ends.push(() => door.close());
  await work(new URL(door.url('tcp://127.0.0.1')).host);
  ends.push(() => door.accept().catch(() => undefined));
  return door;
}

const sessions = async () =>
  (
    await engine.sql.query<{ query: string }>(
      `select query from pg_stat_activity where datname = current_database() and application_name ~ '^sluice:[0-9a-f]{8}:'`,
    )
  ).rows.map((row) => row.query);

test('a step that outlives its heartbeat timeout and commits after the undo fails; the undo stands', {
  timeout: 60_000,
}, async () => {
  const step = {
    do: engine.script(`create table t_zombie (id integer); ${WAIT}`, 'do/zombie.sql'),
    undo: engine.script('drop table t_zombie', 'undo/zombie.sql'),
  };
  const door = await workBehindADoor();
  await shut();
  const handle = await engine.start(await engine.plan([noBackup(), change('zombie', [step])]));
  await untilExecutes(engine, 'create table t_zombie');
  await door.refuse();
  await work();
  await handle.cancel();
  const status = await engine.outcome(handle);
  expect(status).toMatchObject({ outcome: 'rolled_back', cause: 'cancelled' });
  expect((await handle.describe()).status.name).toBe('CANCELLED');
  expect(await sessions()).toEqual([expect.stringContaining('create table t_zombie')]);

  await open();
  await waitFor(async () => (await failures(engine, status.runId)).includes('zombie do step_voided'));
  await waitFor(async () => (await sessions()).length === 0);
  expect(await tables(engine)).toEqual([]);
  expect((await receipts(engine, status.runId)).filter((line) => line.startsWith('zombie')).sort()).toEqual([
    'zombie do voided',
    'zombie/do/zombie.sql do voided',
    'zombie/do/zombie.sql undo voided',
  ]);
});

test('a zombie that has its receipt but waits inside its COMMIT is ended by the undo', {
  timeout: 60_000,
}, async () => {
  await engine.sql.query(`
    create table t_slow (id integer);
    create function f_slow() returns trigger language plpgsql as $$ begin ${WAIT.replace('select', 'perform')}; return null; end $$;
    create constraint trigger slow after insert on t_slow initially deferred for each row execute function f_slow()`);
  const step = {
    do: engine.script('insert into t_slow values (1)', 'do/slow.sql'),
    undo: engine.script('delete from t_slow', 'undo/slow.sql'),
  };
  const door = await workBehindADoor();
  await shut();
  const handle = await engine.start(await engine.plan([noBackup(), change('slow', [step])]));
  await untilExecutes(engine, 'commit');
  await door.refuse();
  await work();
  await handle.cancel();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(await failures(engine, status.runId)).toContain('slow undo lock_timeout');
  await waitFor(async () => (await sessions()).length === 0);
  await open();
  expect((await engine.sql.query('select from t_slow')).rowCount).toBe(0);
  expect(await receipts(engine, status.runId)).toContain('slow/do/slow.sql do voided');
  await engine.sql.query('drop table t_slow; drop function f_slow()');
});

test('a second attempt waits while the first still works, and then finds its receipt', {
  timeout: 60_000,
}, async () => {
  const step = {
    do: engine.script(`create table t_once (id integer); ${WAIT}`, 'do/once.sql'),
    undo: engine.script('drop table t_once', 'undo/once.sql'),
  };
  const door = await workBehindADoor();
  await shut();
  const handle = await engine.start(await engine.plan([noBackup(), change('once', [step])]));
  await untilExecutes(engine, 'create table t_once');
  await door.refuse();
  await work();
  await waitFor(async () => {
    const { raw } = await handle.describe();
    return raw.pendingActivities?.some(
      (activity) => activity.lastFailure?.applicationFailureInfo?.type === 'step_busy',
    );
  }, 30_000);
  await open();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(status.steps[1]?.attempts).toBe(1);
  expect((await receipts(engine, status.runId)).filter((line) => line.startsWith('once')).sort()).toEqual([
    'once do done',
    'once/do/once.sql do done',
  ]);
  expect(await failures(engine, status.runId)).toEqual([]);
  expect((await engine.outcome(await engine.undo(status.runId ?? ''))).outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
});

test('an undo that outlives its worker is ended by the next one, and is done once', {
  timeout: 60_000,
}, async () => {
  await engine.sql.query('create table t_count (id integer)');
  const step = {
    do: engine.script('insert into t_count values (1)', 'do/count.sql'),
    undo: engine.script(`insert into t_count values (-1); ${WAIT}`, 'undo/count.sql'),
  };
  const broken = change('broken', [{ do: engine.script('select 1/0', 'broken.sql'), undo: null }]);
  const door = await workBehindADoor();
  await shut();
  const handle = await engine.start(await engine.plan([noBackup(), change('count', [step]), broken]));
  await untilExecutes(engine, 'values (-1)');
  await door.refuse();
  await work();
  const first = (await sessions()).length;
  expect(first).toBe(1);
  await waitFor(async () => {
    const { raw } = await handle.describe();
    return raw.pendingActivities?.some((activity) => (activity.attempt ?? 0) > 2);
  }, 30_000);
  await open();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  const counted = await engine.sql.query('select sum(id)::int as sum, count(*)::int as count from t_count');
  expect(counted.rows).toEqual([{ sum: 0, count: 2 }]);
  await engine.sql.query('drop table t_count');
});

test('an undo whose worker is shut down is tried again by the next one', { timeout: 60_000 }, async () => {
  const step = {
    do: engine.script('create table t_undo (id integer)', 'do/undo.sql'),
    undo: engine.script(`drop table t_undo; ${WAIT}`, 'undo/undo.sql'),
  };
  const broken = change('broken', [{ do: engine.script('select 1/0', 'broken.sql'), undo: null }]);
  const leaving = await startChildWorker(engine);
  await shut();
  const handle = await engine.start(await engine.plan([noBackup(), change('long', [step]), broken]));
  await untilStep(handle, 'long', 'undoing');
  await untilExecutes(engine, 'drop table t_undo');
  await leaving.stop();
  expect(await tables(engine)).toEqual(['t_undo']);
  await open();
  await work();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
  expect((await receipts(engine, status.runId)).filter((line) => line.includes('undo.sql undo'))).toEqual([
    'long/do/undo.sql undo undone',
  ]);
});

test.each(['deliver and cut', 'cut'] as const)(
  'a connection lost at COMMIT (%s) is answered by the receipt',
  async (fate) => {
    const proxy = await startTcpProxy(engine.database.url);
    const through = await testEngine({
      url: proxy.url(engine.database.url),
      database: { ...engine.database, drop: async () => undefined },
    });
    let isArmed = true;
    proxy.onRequest = (data) => {
      if (!isArmed || !data.includes('commit\0') || !isInStep) return 'pass';
      isArmed = false;
      return fate;
    };
    let isInStep = false;
    const step = {
      do: through.script('create table t_commit (id integer); select pg_sleep(0.5)', 'do/commit.sql'),
      undo: through.script('drop table t_commit', 'undo/commit.sql'),
    };
    const handle = await through.start(await through.plan([noBackup(), change('one', [step])]));
    await untilExecutes(engine, 'pg_sleep(0.5)');
    isInStep = true;
    const status = await through.outcome(handle);
    expect(isArmed).toBe(false);
    expect(status.outcome).toBe('succeeded');
    const found = await engine.sql.query(
      `select attempt from sluice.step_receipt where run_id = $1 and step_id = 'one' and part = ''`,
      [status.runId],
    );
    expect(found.rows).toEqual([{ attempt: fate === 'cut' ? 2 : 1 }]);
    expect(await failures(engine, status.runId)).toEqual(['one do target_unreachable']);
    expect((await through.outcome(await through.undo(status.runId ?? ''))).outcome).toBe('rolled_back');
    await through.close();
    await proxy.close();
  },
);
