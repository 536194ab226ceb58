import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { stopCluster } from '../../local/start-cluster.ts';
import { change, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import { failures, receipts, table, tables, untilExecutes, untilStep } from '../support/engine-facts.ts';
import { startOwnCluster } from '../support/own-cluster.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

let engine: TestEngine;
let door: TcpProxy;
beforeAll(async () => {
  const direct = await testEngine({ worker: false });
  door = await startTcpProxy(direct.database.url);
  engine = await testEngine({ database: direct.database, url: door.url(direct.database.url) });
});
afterEach(() => engine.abandon());
afterAll(async () => {
  await engine.close();
  await door.close();
});

type Handle = Awaited<ReturnType<TestEngine['start']>>;

const pendingFailure = (handle: Handle) =>
  waitFor(async () => {
    const { raw } = await handle.describe();
    return raw.pendingActivities?.find((activity) => activity.lastFailure)?.lastFailure
      ?.applicationFailureInfo?.type;
  });
const failure = async (handle: Handle) => {
  const error = await handle.result().catch((thrown: unknown) => thrown);
  let cause = error as Error & { type?: string };
  while (cause.cause instanceof Error) cause = cause.cause as typeof cause;
  return { type: cause.type, message: cause.message };
};

test('a run waits for a target that does not answer, and goes on by itself', async () => {
  const planHash = await engine.plan([noBackup(), change('one', [table(engine, 't_one')])]);
  await door.refuse();
  const handle = await engine.start(planHash);
  expect(await pendingFailure(handle)).toBe('target_unreachable');
  await door.accept();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  await engine.outcome(await engine.undo(status.runId ?? ''));
});

test('a connection lost in the middle of a step: the step is tried again, once its target is back', async () => {
  const slow = {
    do: engine.script('create table t_slow (id integer); select pg_sleep(1)', 'slow.sql'),
    undo: engine.script('drop table t_slow'),
  };
  const handle = await engine.start(await engine.plan([noBackup(), change('slow', [slow])]));
  await untilExecutes(engine, 'pg_sleep(1)');
  await door.refuse();
  expect(await pendingFailure(handle)).toBe('target_unreachable');
  await door.accept();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(status.steps[1]?.attempts).toBeGreaterThan(1);
  expect(await tables(engine)).toEqual(['t_slow']);
  await engine.outcome(await engine.undo(status.runId ?? ''));
});

test('a compensation waits for its target as well', async () => {
  const slow = {
    do: engine.script('create table t_slow (id integer)', 'slow.sql'),
    undo: engine.script('select pg_sleep(1); drop table t_slow', 'slow-undo.sql'),
  };
  const broken = change('broken', [{ do: engine.script('select 1/0', 'broken.sql'), undo: null }]);
  const handle = await engine.start(await engine.plan([noBackup(), change('slow', [slow]), broken]));
  await untilStep(handle, 'slow', 'undoing');
  await untilExecutes(engine, 'pg_sleep(1)');
  await door.refuse();
  expect(await pendingFailure(handle)).toBe('target_unreachable');
  await door.accept();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
});

test('a session that an administrator ends is a lost connection: the step is tried again', async () => {
  const slow = {
    do: engine.script('create table t_slow (id integer); select pg_sleep(1)', 'slow.sql'),
    undo: engine.script('drop table t_slow'),
  };
  const handle = await engine.start(await engine.plan([noBackup(), change('slow', [slow])]));
  const pid = await untilExecutes(engine, 'pg_sleep(1)');
  await engine.sql.query('select pg_terminate_backend($1)', [pid]);
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(await failures(engine, status.runId)).toEqual(['slow do target_unreachable']);
  expect((await receipts(engine, status.runId)).filter((line) => line.startsWith('slow'))).toHaveLength(2);
  await engine.outcome(await engine.undo(status.runId ?? ''));
});

/** An engine whose worker logs in otherwise than the test. */
async function reachedBy(
  change: (url: URL) => void,
  settle: (sql: pg.Client, database: string) => Promise<void> = async () => undefined,
) {
  const direct = await testEngine({ worker: false });
  await settle(direct.sql, direct.database.name);
  const url = new URL(direct.database.url);
  change(url);
  return testEngine({ database: direct.database, url: url.href });
}

test('a wrong password and an unknown database are final, and say so without the secret', async () => {
  const wrong = await reachedBy((url) => {
    url.password = 'sesame-open';
  });
  const refused = await failure(await wrong.start(await wrong.plan([noBackup()])));
  expect(refused).toMatchObject({
    type: 'target_authentication',
    message: expect.stringMatching(/password authentication failed.*Correct the credentials/),
  });
  expect(refused.message).not.toContain('sesame-open');
  await wrong.close();
  const absent = await reachedBy((url) => {
    url.pathname = '/nowhere';
  });
  const missing = await failure(await absent.start(await absent.plan([noBackup()])));
  expect(missing).toMatchObject({
    type: 'target_not_found',
    message: expect.stringMatching(/database "nowhere" does not exist \(3D000\)/),
  });
  await absent.close();
});

test('a target that is read-only by default is refused before anything is changed', async () => {
  const still = await reachedBy((url) =>
    url.searchParams.set('options', '-c default_transaction_read_only=on'),
  );
  const refused = await failure(await still.start(await still.plan([noBackup()])));
  expect(refused).toMatchObject({
    type: 'target_read_only',
    message: expect.stringMatching(/default_transaction_read_only.*Nothing was changed/),
  });
  expect((await still.sql.query('select from sluice.run')).rowCount).toBe(0);
  await still.close();
});

test('a standby is refused before anything is changed', { timeout: 90_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-standby-'));
  chmodSync(dir, 0o777);
  const password = randomUUID();
  const primary = await startOwnCluster({ dir, password });
  const url = primary.adminUrl;
  const connect = async () => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const database = { url, name: `standby_${process.pid}`, connect, drop: async () => undefined };
  const before = await testEngine({ database, worker: false });
  const planHash = await before.plan([noBackup()]);
  const standby = await startOwnCluster({ dir, password, standbyOf: url });
  const after = await testEngine({ database, url: standby.adminUrl });
  const refused = await failure(await after.start(planHash));
  expect(refused).toMatchObject({
    type: 'target_read_only',
    message: expect.stringMatching(
      /is a standby: it is in recovery.*The primary of the cluster.*Nothing was changed/,
    ),
  });
  await Promise.all([before.sql.end(), after.sql.end()]);
  await Promise.all([before.close(), after.close()]);
  await stopCluster(standby.process);
  await stopCluster(primary.process);
  rmSync(dir, { recursive: true, force: true });
});

test('a role without rights fails with target_permission and leaves nothing', async () => {
  const role = `weak_${process.pid}`;
  const weak = await reachedBy(
    (url) => {
      url.username = role;
      url.password = 'weak';
    },
    async (sql) => {
      await sql.query(`
        create role ${role} login password 'weak';
        grant usage on schema sluice to ${role};
        grant select, insert on all tables in schema sluice to ${role};
        grant update on sluice.run to ${role};
        grant execute on all functions in schema sluice to ${role}`);
    },
  );
  const status = await weak.outcome(
    await weak.start(await weak.plan([noBackup(), change('one', [table(weak, 't_one')])])),
  );
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/permission denied for schema public \(42501\).*Grant what is missing/);
  expect(await tables(weak)).toEqual([]);
  await weak.sql.query(`revoke all on all tables in schema sluice from ${role}`);
  const refused = await failure(await weak.start(await weak.plan([noBackup()])));
  expect(refused.type).toBe('target_permission');
  await weak.sql.query(`drop owned by ${role}`);
  await weak.close();
});
