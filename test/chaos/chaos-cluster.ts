import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { findLocalPostgres } from '../../local/find-postgres.ts';
import { isRunning, type ProcessIdentity, processIdentity } from '../../local/process-identity.ts';
import { reachableBinDir } from '../../local/reachable-programs.ts';
import { startCluster, stopCluster } from '../../local/start-cluster.ts';
import { unprivilegedUser } from '../../local/unprivileged-user.ts';
import { claimRunDirectory, recordServer } from '../support/abandoned-runs.ts';
import { waitFor } from '../support/wait-for.ts';

export interface ChaosCluster {
  /** Of the superuser; changes when the server had to come back on another port. */
  url(database?: string): string;
  /** Kills the postmaster with SIGKILL, waits until its orphans are dead, and starts the server again on its data. */
  crash(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * What is killed here are processes, not the machine: pages and WAL that a process has handed to the kernel are
 * still there for the next one, so nothing depends on fsync and it is off. Everything else that a crash depends
 * on is as in production. `synchronous_commit` above all: when it is off, an acknowledged COMMIT may sit in the
 * server's shared memory only, which dies with the postmaster, and the oracle would rightly call it lost.
 */
const SETTINGS = [
  'fsync=off',
  'synchronous_commit=on',
  'full_page_writes=on',
  'max_prepared_transactions=64',
  'deadlock_timeout=200ms',
  'log_min_messages=warning',
];

/** A PostgreSQL 15, or the oldest that is installed, of its own. Ends with the run even if the run is killed. */
export async function startChaosCluster(): Promise<ChaosCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-test-chaos-'));
  chmodSync(dir, 0o755);
  claimRunDirectory(dir);
  const user = unprivilegedUser();
  const { found, tried } = await findLocalPostgres();
  const programs = found.find(({ major }) => major === 15) ?? found[0];
  if (programs === undefined) throw new Error(`no PostgreSQL: ${tried.join('; ')}`);
  const binDir = await reachableBinDir(programs, user);
  const password = randomUUID();
  const start = async (wantedPort?: number) => {
    const cluster = await startCluster({
      programs: { ...programs, binDir },
      user,
      dataDir: join(dir, 'data'),
      logFile: join(dir, 'data.log'),
      password,
      unsafe: true,
      settings: SETTINGS,
      ...(wantedPort === undefined ? {} : { wantedPort }),
    });
    recordServer(dir, cluster.process);
    return cluster;
  };
  let cluster = await start();
  return {
    url(database = 'postgres') {
      const url = new URL(cluster.adminUrl);
      url.pathname = `/${database}`;
      return url.href;
    },
    async crash() {
      const family = [cluster.process, ...(await serverProcesses(cluster.adminUrl))];
      process.kill(cluster.process.pid, 'SIGKILL');
      await waitFor(async () => !family.some(isRunning), 60_000);
      // One that connected after the others were counted may live a moment longer; the server then refuses to start.
      cluster = await waitFor(() => start(cluster.port), 120_000);
    },
    async stop() {
      await stopCluster(cluster.process);
      rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
}

async function serverProcesses(adminUrl: string): Promise<ProcessIdentity[]> {
  const client = new pg.Client({ connectionString: adminUrl, application_name: 'chaos crash' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ pid: number }>(
      'select pid from pg_stat_activity where pid <> pg_backend_pid()',
    );
    return rows.flatMap(({ pid }) => processIdentity(pid) ?? []);
  } finally {
    await client.end().catch(() => undefined);
  }
}
