import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { findEmbeddedPostgres, findLocalPostgres, type PostgresPrograms } from '../local/find-postgres.ts';
import { mayUse } from '../local/may-use.ts';
import { reachableBinDir } from '../local/reachable-programs.ts';
import { serverEnvironment } from '../local/server-environment.ts';
import { type SystemUser, unprivilegedUser } from '../local/unprivileged-user.ts';
import { stopIfAborted } from './abort-error.ts';
import { checkDiskSpace } from './check-disk-space.ts';
import { programError } from './program-error.ts';
import { runLeashed } from './run-leashed.ts';

/** A throw-away PostgreSQL on a unix socket in a directory of its own. */
export interface ScratchCluster {
  /** Superuser, database `postgres`; no password: only this user can enter the directory of the socket. */
  readonly adminUrl: string;
  readonly description: string;
  /** Where it lies; gone after `stop`. */
  readonly dir: string;
  /** Ends every process of it and removes its directory. */
  stop(): Promise<void>;
}

export interface ScratchClusterOptions {
  /** The oldest server that can hold the restore. */
  readonly serverMajor: number;
  /** Bytes that must be free where it is put. */
  readonly neededBytes: number;
  readonly signal: AbortSignal;
  /** Tried before the machine's temporary directories. */
  readonly scratchDir?: string | undefined;
}

const READY_WITHIN_MS = 60_000;
const SUPERUSER = 'sluice_scratch';

/** Speed over safety: the cluster is thrown away, and nobody else can reach it. */
const SETTINGS = [
  'listen_addresses=',
  'port=5432',
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'wal_level=minimal',
  'max_wal_senders=0',
  'autovacuum=off',
  'max_locks_per_transaction=1024',
  'lc_messages=C',
  'jit=off',
];

/**
 * Creates and starts a cluster of the oldest installed major that is not below the target's; as root, it
 * runs as an unprivileged user. It dies with this process, also by SIGKILL, and its directory goes with it (an
 * empty one stays where that user may not remove it).
 * @throws {SluiceError} `backup_tool_missing` without server programs, `backup_disk_full`, `step_failed`
 */
export async function startScratchCluster(options: ScratchClusterOptions): Promise<ScratchCluster> {
  const programs = await findServer(options.serverMajor);
  const user = unprivilegedUser();
  const binDir = await reachableBinDir(programs, user);
  const dir = await mkdtemp(join(await scratchRoot(options, user), 'sluice-scratch-'));
  const ended = new AbortController();
  const dataDir = join(dir, 'data');
  const common = { cwd: dir, env: serverEnvironment(), user, removeOnDeath: dir };
  try {
    if (user !== undefined) await chown(dir, user.uid, user.gid);
    const created = await runLeashed({
      ...common,
      file: join(binDir, 'initdb'),
      args: [
        `--pgdata=${dataDir}`,
        `--username=${SUPERUSER}`,
        '--auth=trust',
        '--encoding=UTF8',
        '--no-locale',
        '--no-sync',
      ],
      signal: options.signal,
    });
    stopIfAborted(options.signal, 'The restore');
    if (created.exitCode !== 0) throw programError(`initdb ${programs.version}`, dir, created);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
  let exited: string | undefined;
  const server = runLeashed({
    ...common,
    file: join(binDir, 'postgres'),
    args: [
      '-D',
      dataDir,
      ...[...SETTINGS, `unix_socket_directories=${dir}`].flatMap((setting) => ['-c', setting]),
    ],
    signal: AbortSignal.any([options.signal, ended.signal]),
    endSignal: 'SIGQUIT',
  }).then((result) => {
    exited = result.tail === '' ? 'no words' : result.tail;
  });
  const stop = async () => {
    ended.abort();
    await server;
    await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  const adminUrl = `postgresql://${SUPERUSER}@${encodeURIComponent(dir)}:5432/postgres`;
  try {
    await untilAnswers(adminUrl, () => exited, options.signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return { adminUrl, description: `a throw-away local PostgreSQL ${programs.version}`, dir, stop };
}

async function findServer(serverMajor: number): Promise<PostgresPrograms> {
  const searches = [await findLocalPostgres(), await findEmbeddedPostgres()];
  const found = searches.flatMap((search) => search.found).sort((a, b) => a.major - b.major);
  const best = found.find((programs) => programs.major >= serverMajor);
  if (best !== undefined) return best;
  const seen = found.map((programs) => `PostgreSQL ${programs.version}`).join(', ');
  throw new SluiceError('backup_tool_missing', {
    what: `No PostgreSQL ${serverMajor} server programs are on this machine (${seen === '' ? 'none were found' : `found: ${seen}`}), so the dump cannot be restored here.`,
    expected: `initdb and postgres of PostgreSQL ${serverMajor} or newer, or a restore server named for it.`,
    safe: 'The dump is kept, but it is not proven; nothing was changed.',
  });
}

/** A directory that the user may pass through, short enough for a socket's path (107 bytes in all). */
async function scratchRoot(options: ScratchClusterOptions, user: SystemUser | undefined): Promise<string> {
  const roots = [
    ...(options.scratchDir === undefined ? [] : [options.scratchDir]),
    tmpdir(),
    '/tmp',
    '/var/tmp',
  ];
  const root = roots.find((dir) => Buffer.byteLength(dir) <= 60 && mayUse(dir, user)) ?? '/tmp';
  await checkDiskSpace(root, options.neededBytes, 'The restore into a throw-away cluster');
  return root;
}

async function untilAnswers(
  url: string,
  exited: () => string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const until = Date.now() + READY_WITHIN_MS;
  for (;;) {
    stopIfAborted(signal, 'The restore');
    const words = exited();
    if (words !== undefined || Date.now() > until) {
      throw new SluiceError('step_failed', {
        what: `The throw-away cluster did not start: ${words ?? 'it does not answer'}.`,
        expected: `It answers within ${READY_WITHIN_MS / 1000} s.`,
        safe: 'The dump is kept, but it is not proven; nothing was changed.',
      });
    }
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return;
    } catch {
      await delay(25);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}
