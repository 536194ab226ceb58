import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findLocalPostgres } from '../../local/find-postgres.ts';
import { obtainTemporal } from '../../local/obtain-temporal.ts';
import { reachableBinDir } from '../../local/reachable-programs.ts';
import { type Cluster, startCluster, stopCluster } from '../../local/start-cluster.ts';
import { type DevServer, startDevServer, stopDevServer } from '../../local/start-dev-server.ts';
import { stopProcess } from '../../local/stop-process.ts';
import { unprivilegedUser } from '../../local/unprivileged-user.ts';
import { recordServer } from '../support/abandoned-runs.ts';
import { type ChildWorker, startChildWorker } from '../support/child-worker.ts';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { receipts, untilStep } from '../support/engine-facts.ts';
import { harness } from '../support/harness.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Documents, documents } from './support/documents.ts';
import { configuration, counts, fingerprint, verdictsOf, verifiedEvidence } from './support/iu-facts.ts';
import { databaseAt } from './support/own-server.ts';
import { follow, LASTING, runShipped, startShipped } from './support/shipped-macros.ts';

const base = () => join(harness().dir, `restarts-${process.pid}`);
const password = randomUUID();
let postgres: Cluster;
let temporal: DevServer;
let worker: ChildWorker;
let engine: TestEngine;
let library: Documents;

/** With fsync and everything else that a crash needs: what was committed is there afterwards. */
async function startPostgres(wantedPort?: number): Promise<void> {
  const user = unprivilegedUser();
  const programs = (await findLocalPostgres()).found[0];
  if (programs === undefined) throw new Error('no PostgreSQL on this machine');
  postgres = await startCluster({
    programs: { ...programs, binDir: await reachableBinDir(programs, user) },
    user,
    dataDir: `${base()}-postgres`,
    logFile: `${base()}-postgres.log`,
    password,
    ...(wantedPort === undefined ? {} : { wantedPort }),
  });
  recordServer(harness().dir, postgres.process);
}

async function startTemporal(wantedPort?: number): Promise<void> {
  temporal = await startDevServer({
    program: await obtainTemporal(),
    dbFile: `${base()}-temporal.db`,
    logFile: `${base()}-temporal.log`,
    ...(wantedPort === undefined ? {} : { wantedPort }),
  });
  recordServer(harness().dir, temporal.process);
}

beforeAll(async () => {
  await Promise.all([startPostgres(), startTemporal()]);
  const admin = databaseAt(postgres.adminUrl, 'postgres');
  await (await admin.connect()).query('create database restarts');
  await admin.drop();
  const url = postgres.adminUrl.replace(/\/postgres$/, '/restarts');
  engine = await testEngine({
    database: databaseAt(url, 'restarts'),
    address: temporal.address,
    worker: false,
  });
  [worker, library] = await Promise.all([startChildWorker(engine), documents()]);
});
afterAll(async () => {
  await worker.stop();
  await engine.close();
  await library.remove();
  await Promise.all([stopCluster(postgres.process), stopDevServer(temporal.process)]);
  for (const suffix of ['-postgres', '-postgres.log', '-temporal.db', '-temporal.log'])
    await rm(`${base()}${suffix}`, { recursive: true, force: true });
});

/** Both servers end, and come back on the same ports with the same data. */
async function restartBoth(how: 'cleanly' | 'by a crash'): Promise<void> {
  await engine.database.drop();
  const port = Number(new URL(`tcp://${temporal.address}`).port);
  if (how === 'cleanly') await Promise.all([stopCluster(postgres.process), stopDevServer(temporal.process)]);
  else
    await Promise.all([
      stopProcess(postgres.process, [{ signal: 'SIGQUIT', withinMs: 30_000 }]),
      stopProcess(temporal.process, [{ signal: 'SIGKILL', withinMs: 10_000 }]),
    ]);
  await Promise.all([startPostgres(postgres.port), startTemporal(port)]);
  expect([temporal.address, postgres.adminUrl]).toEqual([
    engine.address,
    engine.access.url.replace(/\/restarts$/, '/postgres'),
  ]);
  Object.assign(engine, { sql: await engine.database.connect() });
}

test('Temporal and PostgreSQL are restarted in the middle of a run, and crash in it: it goes on by itself', {
  timeout: 240_000,
}, async () => {
  expect((await runShipped(engine, 'iu-core-base')).outcome).toBe('succeeded');
  await library.edit(engine.sql);
  expect((await runShipped(engine, 'event-worker')).outcome).toBe('succeeded');

  const before = await fingerprint(engine);
  const handle = await startShipped(engine, 'worker-live-dry-run', { 'observe.window': LASTING });
  await untilStep(handle, 'backup', 'running', 60_000);
  await restartBoth('cleanly');
  let crashed = false;
  const status = await follow(handle, {
    async onObserve() {
      await library.edit(engine.sql);
      await waitFor(
        async () =>
          (await engine.sql.query(`select from sluice.observation where metric = 'backlog'`)).rowCount !== 0,
      );
      await restartBoth('by a crash');
      crashed = true;
    },
  });
  expect([status.outcome, status.cause, crashed]).toEqual(['succeeded', '', true]);
  expect(await receipts(engine, status.runId)).toEqual([
    'approval do done',
    'backup do done',
    'mandatory-gates do done',
    'observe do done',
    'open-gate do done',
    'open-gate/sql/iu-core/runtime/090_route_worker_enable.sql do done',
    'probe do done',
    'verify do done',
    'verify-live do done',
  ]);
  for (const step of ['mandatory-gates', 'verify-live', 'probe', 'observe', 'verify']) {
    const verdicts = await verdictsOf(engine, status.runId, step);
    expect([step, verdicts.length > 0, verdicts.filter((line) => !line.endsWith(' pass'))]).toEqual([
      step,
      true,
      [],
    ]);
  }
  expect(await counts(engine)).toEqual({
    units: 6,
    versions: 12,
    events: 6,
    attempts: 6,
    dryRuns: 6,
    deadLetters: 0,
    markers: 0,
    cursors: 1,
  });
  expect(await configuration(engine)).toMatchObject({
    'iu_core.outbound_enabled': 'true',
    'iu_core.route_worker_enabled': 'true',
  });
  expect(await fingerprint(engine)).toBe(before);
  const evidence = await verifiedEvidence(engine, status.runId);
  expect([evidence.run.outcome, evidence.run.fingerprint.equal]).toEqual(['succeeded', true]);
});
