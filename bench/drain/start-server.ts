import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { choosePrograms } from '../../local/choose-programs.ts';
import { reachableBinDir } from '../../local/reachable-programs.ts';
import { type Cluster, startCluster, stopCluster } from '../../local/start-cluster.ts';
import { unprivilegedUser } from '../../local/unprivileged-user.ts';
import { withClient } from './with-client.ts';

export interface BenchServer {
  /** Superuser, database `postgres`. */
  readonly adminUrl: string;
  /** The same for another database. */
  urlOf(database: string): string;
  /** What the server itself says of its settings. */
  readonly settings: Readonly<Record<string, string>>;
  /** Stops it and removes its data. */
  stop(): Promise<void>;
}

/** Durable, with room for a whole round: no checkpoint and no autovacuum falls into what is measured. */
const SETTINGS = [
  'shared_buffers=1GB',
  'max_wal_size=8GB',
  'checkpoint_timeout=1h',
  'autovacuum=off',
  'max_connections=100',
  'log_min_messages=fatal',
];
const SHOWN = [
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'shared_buffers',
  'max_wal_size',
  'checkpoint_timeout',
  'autovacuum',
];

/**
 * Starts a PostgreSQL of its own in a temporary directory, with fsync on. It is gone after `stop()`, and soon after
 * this process, however that ends.
 */
export async function startServer(): Promise<BenchServer> {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  await chmod(dir, 0o755);
  const user = unprivilegedUser();
  const dataDir = join(dir, 'data');
  const endWatcher = watch(dir);
  let cluster: Cluster | undefined;
  const stop = async () => {
    if (cluster !== undefined) await stopCluster(cluster.process);
    await endWatcher();
  };
  try {
    const programs = await choosePrograms(dataDir);
    cluster = await startCluster({
      programs: { ...programs, binDir: await reachableBinDir(programs, user) },
      user,
      dataDir,
      logFile: join(dir, 'postgres.log'),
      password: randomUUID(),
      settings: SETTINGS,
    });
    const { adminUrl } = cluster;
    return {
      adminUrl,
      urlOf: (database) => Object.assign(new URL(adminUrl), { pathname: `/${database}` }).href,
      settings: { postgresql: programs.version, ...(await withClient(adminUrl, shown)) },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits in a process of its own for the end of its input, which is ours; then ends the server and removes its data. */
function watch(dir: string): () => Promise<void> {
  const script = `
    cat
    if pid=$(head -n 1 "$1/data/postmaster.pid"); then
      kill -QUIT "$pid"
      while kill -0 "$pid"; do sleep 0.1; done
    fi
    rm -rf "$1"`;
  const watcher = spawn('sh', ['-c', script, 'sh', dir], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watcher.unref();
  const ended = once(watcher, 'exit');
  return async () => {
    watcher.ref();
    watcher.stdin.end();
    await ended;
  };
}

async function shown(client: pg.Client): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string; value: string }>(
    'select name, current_setting(name) as value from unnest($1::text[]) as name',
    [SHOWN],
  );
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}
