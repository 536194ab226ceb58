import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { obtainTemporal } from '../../local/obtain-temporal.ts';
import { stopCluster } from '../../local/start-cluster.ts';
import { type DevServer, startDevServer, stopDevServer } from '../../local/start-dev-server.ts';
import { type ChildWorker, startChildWorker } from '../support/child-worker.ts';
import { change, noBackup, observe, type TestEngine, testEngine } from '../support/engine.ts';
import { receipts, statusOf, table, tables, untilExecutes, untilStep } from '../support/engine-facts.ts';
import { startOwnCluster } from '../support/own-cluster.ts';
import { waitFor } from '../support/wait-for.ts';

let engine: TestEngine;
const workers: ChildWorker[] = [];
const ends: (() => unknown)[] = [];
beforeEach(async () => {
  engine = await testEngine({ worker: false });
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
  await engine.close();
  for (const end of ends.splice(0).reverse()) await end();
});

const work = async () => {
  const worker = await startChildWorker(engine);
  workers.push(worker);
  return worker;
};
const die = async (worker: ChildWorker) => {
  worker.signal('SIGKILL');
  await worker.ended;
};

test('a worker killed in the middle of a migration: the next one does it once', {
  timeout: 60_000,
}, async () => {
  const slow = {
    do: engine.script('create table t_slow (id integer); select pg_sleep(3)', 'do/slow.sql'),
    undo: engine.script('drop table t_slow', 'undo/slow.sql'),
  };
  const first = await work();
  const handle = await engine.start(
    await engine.plan([
      noBackup(),
      change('one', [table(engine, 't_one')]),
      change('slow', [slow]),
      change('two', [table(engine, 't_two')]),
    ]),
  );
  await untilExecutes(engine, 'pg_sleep(3)');
  await die(first);
  await work();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(await tables(engine)).toEqual(['t_one', 't_slow', 't_two']);
  expect(await receipts(engine, status.runId)).toEqual([
    'backup do done',
    'one do done',
    'one/do/t_one.sql do done',
    'slow do done',
    'slow/do/slow.sql do done',
    'two do done',
    'two/do/t_two.sql do done',
  ]);
});

test('a worker killed in the middle of an observe window: the same window goes on', {
  timeout: 60_000,
}, async () => {
  const metric = {
    name: 'backlog',
    unit: 'events',
    script: engine.script('select 0 as value'),
    pass: { max: 0 },
    consecutiveSuccess: 1,
    failureLimit: 0,
  };
  const first = await work();
  const handle = await engine.start(
    await engine.plan([noBackup(), observe('watch', [metric], { windowMs: 14_000, intervalMs: 500 })]),
  );
  const samples = async () =>
    (await engine.sql.query('select sample_no from sluice.observation order by sample_no')).rows.map(
      (row) => row.sample_no,
    );
  await waitFor(async () => (await samples()).length >= 9);
  await die(first);
  await work();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  const taken = await samples();
  expect(taken).toEqual(taken.map((_, index) => index + 1));
  const facts = await engine.sql.query(
    `select facts from sluice.step_receipt where run_id = $1 and step_id = 'watch'`,
    [status.runId],
  );
  expect(facts.rows[0]?.facts.samples).toBe(taken.length);
  // One window of 14 s, not one that began again after the heartbeat timeout.
  expect(taken.length).toBeLessThanOrEqual(14_000 / 500 + 3);
});

test('a worker killed in the middle of a compensation: the next one goes on with it', {
  timeout: 60_000,
}, async () => {
  const slow = {
    do: engine.script('create table t_slow (id integer)', 'do/slow.sql'),
    undo: engine.script('select pg_sleep(3); drop table t_slow', 'undo/slow.sql'),
  };
  const broken = change('broken', [{ do: engine.script('select 1/0', 'broken.sql'), undo: null }]);
  const first = await work();
  const handle = await engine.start(
    await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), change('slow', [slow]), broken]),
  );
  await untilStep(handle, 'slow', 'undoing');
  await untilExecutes(engine, 'pg_sleep(3)');
  await die(first);
  await work();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
  expect((await receipts(engine, status.runId)).filter((line) => line.includes(' undo '))).toEqual([
    'broken/broken.sql undo voided',
    'one/do/t_one.sql undo undone',
    'slow/do/slow.sql undo undone',
  ]);
});

test('Temporal and PostgreSQL are restarted in the middle of a step: the run goes on by itself', {
  timeout: 120_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-restart-'));
  chmodSync(dir, 0o755);
  ends.push(() => rmSync(dir, { recursive: true, force: true }));
  const settings = { dir, password: randomUUID() };
  const program = await obtainTemporal();
  const temporal = (wantedPort?: number): Promise<DevServer> =>
    startDevServer({
      program,
      dbFile: join(dir, 'temporal.db'),
      logFile: join(dir, 'temporal.log'),
      ...(wantedPort === undefined ? {} : { wantedPort }),
    });
  let [postgres, server] = await Promise.all([startOwnCluster(settings), temporal()]);
  ends.push(() => Promise.all([stopCluster(postgres.process), stopDevServer(server.process)]));

  const name = `restart_${process.pid}`;
  const connect = async (url: string) => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const admin = await connect(postgres.adminUrl);
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = postgres.adminUrl.replace(/\/postgres$/, `/${name}`);
  const own = await testEngine({
    database: { url, name, connect: () => connect(url), drop: async () => undefined },
    address: server.address,
    worker: false,
  });
  const worker = await startChildWorker(own);
  ends.push(() => worker.stop());
  const slow = {
    do: own.script('create table t_slow (id integer); select pg_sleep(2)', 'do/slow.sql'),
    undo: own.script('drop table t_slow', 'undo/slow.sql'),
  };
  const handle = await own.start(
    await own.plan([
      noBackup(),
      change('one', [table(own, 't_one')]),
      change('slow', [slow]),
      change('two', [table(own, 't_two')]),
    ]),
  );
  await untilExecutes(own, 'pg_sleep(2)');
  const port = Number(new URL(`tcp://${server.address}`).port);
  await Promise.all([stopCluster(postgres.process), stopDevServer(server.process)]);
  [postgres, server] = await Promise.all([
    startOwnCluster({ ...settings, wantedPort: postgres.port }),
    temporal(port),
  ]);
  expect(server.address).toBe(own.address);
  await waitFor(async () => (await statusOf(handle)).outcome, 60_000);
  const sql = await connect(url);
  const found = await sql.query<{ line: string }>(
    `select step_id || ' ' || part || ' ' || state as line from sluice.step_receipt`,
  );
  expect(found.rows.map((row) => row.line).sort()).toEqual([
    'backup  done',
    'one  done',
    'one do/t_one.sql done',
    'slow  done',
    'slow do/slow.sql done',
    'two  done',
    'two do/t_two.sql done',
  ]);
  const made = await sql.query(`select from pg_class where relnamespace = 'public'::regnamespace`);
  expect(made.rowCount).toBe(3);
  await sql.end();
  await own.close();
});
