import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { findEmbeddedPostgres, findLocalPostgres } from '../../local/find-postgres.ts';
import { obtainTemporal } from '../../local/obtain-temporal.ts';
import { reachableBinDir } from '../../local/reachable-programs.ts';
import { startCluster, stopCluster } from '../../local/start-cluster.ts';
import { startDevServer, stopDevServer } from '../../local/start-dev-server.ts';
import { unprivilegedUser } from '../../local/unprivileged-user.ts';
import { claimRunDirectory, endAbandonedRuns, recordServer } from './abandoned-runs.ts';
import type { Harness, Offer, PostgresOffer } from './harness.ts';

/**
 * Starts PostgreSQL 15 (of the system), PostgreSQL 18 (of npm) and a Temporal dev server once for the whole
 * run, side by side. One that cannot start fails the tests that ask for it, with its reason, and no others.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await endAbandonedRuns();
  const dir = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  chmodSync(dir, 0o755);
  claimRunDirectory(dir);
  endWithRun(dir);
  const stops: (() => Promise<unknown>)[] = [];

  const postgres = async (major: 15 | 18): Promise<PostgresOffer> => {
    const search = await (major === 15 ? findLocalPostgres() : findEmbeddedPostgres());
    const programs = search.found.find((one) => one.major === major) ?? search.found.at(-1);
    if (programs === undefined) throw new Error(`no PostgreSQL ${major}: ${search.tried.join('; ')}`);
    const user = unprivilegedUser();
    const cluster = await startCluster({
      programs: { ...programs, binDir: await reachableBinDir(programs, user) },
      user,
      dataDir: join(dir, `postgres-${major}`),
      logFile: join(dir, `postgres-${major}.log`),
      password: randomUUID(),
      unsafe: true,
      settings: [
        'max_connections=200',
        'max_prepared_transactions=10',
        'wal_level=logical',
        'shared_buffers=64MB',
        'log_min_messages=fatal',
      ],
    });
    recordServer(dir, cluster.process);
    stops.push(() => stopCluster(cluster.process));
    return { adminUrl: cluster.adminUrl, binDir: programs.binDir, major: programs.major };
  };

  const temporal = async () => {
    const program = await obtainTemporal({ progress: (line) => process.stderr.write(`${line}\n`) });
    const server = await startDevServer({
      program,
      logFile: join(dir, 'temporal.log'),
      onSpawn: (spawned) => recordServer(dir, spawned.process),
    });
    stops.push(() => stopDevServer(server.process));
    return { address: server.address, uiUrl: server.uiUrl, program: program.path };
  };

  const [postgres15, postgres18, temporalServer] = await Promise.all([
    offer(postgres(15)),
    offer(postgres(18)),
    offer(temporal()),
  ]);
  const harness: Harness = { dir, postgres: { 15: postgres15, 18: postgres18 }, temporal: temporalServer };
  project.provide('harness', harness);

  return async () => {
    await Promise.all(stops.map((stop) => stop()));
    rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
}

/** Also when this run is killed, nothing of it stays. */
function endWithRun(dir: string): void {
  const script = fileURLToPath(new URL('./end-with-run.ts', import.meta.url));
  const watcher = spawn(process.execPath, ['--import', 'tsx', script, dir], {
    cwd: dirname(script),
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watcher.unref();
}

async function offer<T>(starting: Promise<T>): Promise<Offer<T>> {
  try {
    return { ok: true, value: await starting };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${reason}\n`);
    return { ok: false, reason };
  }
}
