import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { createCluster } from './create-cluster.ts';
import type { PostgresPrograms } from './find-postgres.ts';
import { freePort } from './free-port.ts';
import { logSize, logTail } from './log-tail.ts';
import { disownStaleLockFile, lockFileOf } from './postmaster-lock-file.ts';
import { type ProcessIdentity, processIdentity } from './process-identity.ts';
import { serverEnvironment } from './server-environment.ts';
import { stopProcess } from './stop-process.ts';
import type { SystemUser } from './unprivileged-user.ts';

export interface ClusterOptions {
  readonly programs: PostgresPrograms;
  readonly dataDir: string;
  /** Appended to, opened by the caller's own user. */
  readonly logFile: string;
  /** Runs as this user; the caller's own when absent. */
  readonly user: SystemUser | undefined;
  readonly password: string;
  /** Taken if it is free. */
  readonly wantedPort?: number;
  /** Server settings, `name=value`. */
  readonly settings?: readonly string[];
  /** Does without fsync, also while the cluster is created: for tests only. */
  readonly unsafe?: boolean;
  readonly signal?: AbortSignal;
}

export interface Cluster {
  readonly process: ProcessIdentity;
  readonly port: number;
  /** Superuser, database `postgres`, with the password. */
  readonly adminUrl: string;
  /** Whether it ran already and was only found. */
  readonly adopted: boolean;
}

const READY_WITHIN_MS = 60_000;
const ATTEMPTS = 5;

/**
 * Starts PostgreSQL on 127.0.0.1 and on no socket, creating the cluster when there is none. The server is
 * detached: it outlives the caller. One that already runs on this data is adopted.
 * @throws {SluiceError} `target_unreachable` with the end of the log
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  if (!existsSync(join(options.dataDir, 'PG_VERSION'))) await createCluster(options);
  const running = lockFileOf(options.dataDir);
  if (running?.process !== undefined) {
    const adminUrl = urlOf(running.port, options.password);
    await untilAnswers(adminUrl, () => undefined, options.signal);
    return { process: running.process, port: running.port, adminUrl, adopted: true };
  }
  disownStaleLockFile(options.dataDir);
  let wantedPort = options.wantedPort;
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort(wantedPort);
    try {
      return await launch(options, port);
    } catch (error) {
      const retryable = error instanceof ExitedEarly && /in use|could not bind|lock file/.test(error.tail);
      options.signal?.throwIfAborted();
      if (!retryable || attempt === ATTEMPTS) throw notStarted(options, error);
      wantedPort = undefined;
      await delay(300 * attempt);
    }
  }
}

/** Stops a cluster as `pg_ctl stop -m fast` does, then `-m immediate`. Resolves to whether it is gone. */
export async function stopCluster(known: ProcessIdentity): Promise<boolean> {
  return await stopProcess(known, [
    { signal: 'SIGINT', withinMs: 30_000 },
    { signal: 'SIGQUIT', withinMs: 10_000 },
  ]);
}

async function launch(options: ClusterOptions, port: number): Promise<Cluster> {
  const settings = [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'password_encryption=scram-sha-256',
    'lc_messages=C',
    ...(options.unsafe === true ? ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'] : []),
    ...(options.settings ?? []),
  ];
  const logStart = logSize(options.logFile);
  const log = openSync(options.logFile, 'a', 0o600);
  const child = spawn(
    join(options.programs.binDir, 'postgres'),
    ['-D', options.dataDir, ...settings.flatMap((setting) => ['-c', setting])],
    {
      ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid }),
      cwd: options.dataDir,
      env: serverEnvironment(),
      detached: true,
      stdio: ['ignore', log, log],
    },
  );
  closeSync(log);
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `postgres ended with ${code ?? signal}`;
  });
  child.unref();
  const known = child.pid === undefined ? undefined : processIdentity(child.pid);
  const adminUrl = urlOf(port, options.password);
  try {
    await untilAnswers(
      adminUrl,
      () => (ended === undefined ? undefined : new ExitedEarly(ended, logTail(options.logFile, logStart))),
      options.signal,
    );
  } catch (error) {
    if (known !== undefined) await stopCluster(known);
    throw error;
  }
  if (known === undefined)
    throw new ExitedEarly(ended ?? 'postgres ended', logTail(options.logFile, logStart));
  return { process: known, port, adminUrl, adopted: false };
}

async function untilAnswers(
  url: string,
  failed: () => Error | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const until = Date.now() + READY_WITHIN_MS;
  for (;;) {
    signal?.throwIfAborted();
    const failure = failed();
    if (failure !== undefined) throw failure;
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return;
    } catch (error) {
      const refused = error instanceof Error && 'code' in error && error.code === '28P01';
      if (refused || Date.now() > until) throw error;
      await delay(25);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

function urlOf(port: number, password: string): string {
  return `postgresql://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
}

class ExitedEarly extends Error {
  readonly tail: string;
  constructor(message: string, tail: string) {
    super(`${message}\n${tail}`);
    this.tail = tail;
  }
}

function notStarted(options: ClusterOptions, cause: unknown): SluiceError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  const { version, binDir } = options.programs;
  return new SluiceError(
    'target_unreachable',
    {
      what: `PostgreSQL ${version} (${binDir}) did not start on ${options.dataDir}: ${detail}`,
      expected: `It answers within ${READY_WITHIN_MS / 1000} s; its log is ${options.logFile}.`,
      safe: 'The data is left as it is; try again, or name a server of your own with DATABASE_URL.',
    },
    { cause },
  );
}
