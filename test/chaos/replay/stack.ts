import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import type { TargetAccess } from '../../../activities/dependencies.ts';
import { obtainTemporal } from '../../../local/obtain-temporal.ts';
import { type DevServer, startDevServer, stopDevServer } from '../../../local/start-dev-server.ts';
import { LOCAL_DELIVERY } from '../../delivery-activity/support/deliveries.ts';
import { claimRunDirectory, recordServer } from '../../support/abandoned-runs.ts';
import { type ChaosCluster, startChaosCluster } from '../chaos-cluster.ts';
import { connected } from '../chaos-database.ts';
import { type ChaosReceiver, startChaosReceiver } from './receiver.ts';
import { startWorkerProcess, type WorkerProcess } from './worker-process.ts';

/** Servers of a run's own, each of which may be lost and come back where it was. */
export interface ReplayStack {
  readonly url: string;
  readonly target: string;
  readonly taskQueue: string;
  readonly client: Client;
  readonly receiver: ChaosReceiver;
  startWorker(): Promise<WorkerProcess>;
  /** SIGKILL for the postmaster; returns when it is back. */
  crashPostgres(): Promise<void>;
  restartTemporal(): Promise<void>;
  stop(): Promise<void>;
}

/** Longer than the database is away: what was delivered meanwhile can still be settled when it is back. */
const LEASE_MS = 15_000;

export async function startReplayStack(bundlePath: string): Promise<ReplayStack> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-test-replay-chaos-'));
  claimRunDirectory(dir);
  const program = await obtainTemporal();
  const startTemporal = (wantedPort?: number): Promise<DevServer> =>
    startDevServer({
      program,
      dbFile: join(dir, 'temporal.db'),
      logFile: join(dir, 'temporal.log'),
      onSpawn: (server) => recordServer(dir, server.process),
      ...(wantedPort === undefined ? {} : { wantedPort }),
    });
  const [cluster, first, receiver] = await Promise.all([
    startChaosCluster(),
    startTemporal(),
    startChaosReceiver(),
  ]);
  let temporal = first;
  const { address } = temporal;
  const target = await createDatabase(cluster);
  const url = cluster.url(target);
  const connection = await Connection.connect({ address });
  const taskQueue = 'replay-chaos';
  const access: TargetAccess = {
    name: target,
    url,
    schema: 'public',
    lockTimeoutMs: 3_000,
    statementTimeoutMs: { check: 30_000, change: 60_000, probe: 30_000 },
    backupDir: dir,
    restoreUrl: null,
    toolDirs: [],
    delivery: { ...LOCAL_DELIVERY, concurrency: 16, leaseMs: LEASE_MS },
  };
  return {
    url,
    target,
    taskQueue,
    client: new Client({ connection }),
    receiver,
    startWorker: () => startWorkerProcess({ address, taskQueue, access, bundlePath }),
    async crashPostgres() {
      await cluster.crash();
      if (cluster.url(target) !== url) throw new Error('PostgreSQL came back on another port');
    },
    async restartTemporal() {
      await stopDevServer(temporal.process);
      temporal = await startTemporal(Number(new URL(`tcp://${address}`).port));
      if (temporal.address !== address) throw new Error('Temporal came back on another port');
    },
    async stop() {
      await connection.close();
      await Promise.all([receiver.close(), stopDevServer(temporal.process), cluster.stop()]);
      rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

async function createDatabase(cluster: ChaosCluster): Promise<string> {
  const name = `replay_${randomUUID().slice(0, 8)}`;
  await connected(cluster.url(), (client) => client.query(`create database ${pg.escapeIdentifier(name)}`));
  return name;
}
